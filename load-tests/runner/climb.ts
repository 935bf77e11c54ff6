/** From the first rate up by this factor until one does not hold; then the gap is halved so often. */
const FACTOR = 1.4
const HALVINGS = 2
const STEPS_MAX = 14

/**
 * The highest rate that holds: up by steps until one breaks twice, then between the last good rate and that one. 0 when the first does not hold.
 * `attempt` says whether a rate holds.
 */
export async function climb(first: number, attempt: (rate: number) => Promise<boolean>): Promise<number> {
  const twice = async (rate: number) => (await attempt(rate)) || attempt(rate)
  let [good, bad] = [0, Number.POSITIVE_INFINITY]
  for (let rate = first, steps = 0; steps < STEPS_MAX; rate *= FACTOR, steps++) {
    if (await twice(rate)) good = rate
    else {
      bad = rate
      break
    }
  }
  for (let halving = 0; halving < HALVINGS && good > 0 && bad < Number.POSITIVE_INFINITY; halving++) {
    const middle = (good + bad) / 2
    if (await twice(middle)) good = middle
    else bad = middle
  }
  return good
}
