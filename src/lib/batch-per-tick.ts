/**
 * What is asked for within one turn of the event loop is asked for together, at its end: `ask` gets all of it and answers in the same order.
 * A turn ends as soon as there is nothing more to read, so nobody waits for others. One promise serves everybody of a turn; when `ask`
 * rejects, all of them are told.
 */
export function gatherTurns<Wanted, Answer>(
  ask: (wanted: Wanted[]) => Promise<readonly Answer[]>,
): (wanted: Wanted) => Promise<Answer> {
  let turn: Turn<Wanted, Answer> | undefined
  function begin(): Turn<Wanted, Answer> {
    const wanted: Wanted[] = []
    const answers = new Promise<void>(resolve => setImmediate(resolve)).then(() => {
      turn = undefined
      return ask(wanted)
    })
    return { wanted, answers }
  }
  return async one => {
    const { wanted, answers } = (turn ??= begin())
    const index = wanted.push(one) - 1
    return (await answers)[index] as Answer
  }
}

interface Turn<Wanted, Answer> {
  readonly wanted: Wanted[]
  readonly answers: Promise<readonly Answer[]>
}
