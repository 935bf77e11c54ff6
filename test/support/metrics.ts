/** The sum of a metric without labels over instances. */
export async function summedOver(opsUrls: readonly string[], metric: string): Promise<number> {
  const texts = await Promise.all(opsUrls.map(async url => (await fetch(`${url}/metrics`)).text()))
  return texts.reduce((sum, text) => sum + Number(new RegExp(`^${metric} (\\d+)`, 'm').exec(text)?.[1] ?? 0), 0)
}

/** What instances have counted together, of some results. What was counted by those who have died since is gone with them. */
export async function countedBy(
  opsUrls: readonly string[],
  metric: string,
  results: readonly string[],
): Promise<number> {
  const texts = await Promise.all(opsUrls.map(async url => (await fetch(`${url}/metrics`)).text()))
  const counter = new RegExp(`^${metric}\\{result="(?:${results.join('|')})"\\} (\\d+)`, 'gm')
  return texts.flatMap(text => [...text.matchAll(counter)]).reduce((sum, [, count]) => sum + Number(count), 0)
}
