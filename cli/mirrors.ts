import type { MirrorReport } from '../dataplane/mirror/tally.ts'
import type { Options } from './flags.ts'
import { report } from './report.ts'

/** What became of the copies of requests, asked of a running proxy. */
export async function mirrors({ admin, output }: Options<'mirrors'>, stdout: (text: string) => void): Promise<number> {
  return report<MirrorReport>(admin, '/mirrors', { output, textOf, none: 'no rule mirrors its requests' }, stdout)
}

const placesShown = 10

/** For people: the rule, what was sent, what came back, and where it differed. */
export function textOf({ route, rule, variant, copies, compared, skipped, labels, similarity, places }: MirrorReport): string {
  const { match = 0, mismatch = 0, failed = 0 } = compared
  const all = match + mismatch + failed
  const rows: (readonly [what: string, told: string])[] = [['copies', counts(copies) || 'none yet']]
  if (Object.keys(compared).length > 0) {
    rows.push(['compared', `${counts(compared)}${all === 0 ? '' : `, ${Math.round((1000 * (mismatch + failed)) / all) / 10} % differ`}`])
  }
  if (Object.keys(skipped).length > 0) rows.push(['skipped', counts(skipped)])
  if (labels.vectors > 0) rows.push(['labels', `of ${labels.vectors} vectors ${labels.labelDiffers} have another label, ${labels.topDiffers} another top five`])
  if (similarity.some((count) => count > 0)) rows.push(['alike', distribution(similarity)])
  const shown = places.slice(0, placesShown).map(({ place, kind, answers, largest }) =>
    `${String(answers).padEnd(4)}${kind} ${place}${largest === undefined ? '' : `, up to ${largest}`}`)
  for (const [at, line] of shown.entries()) rows.push([at === 0 ? 'where' : '', line])
  return [`${route} ${rule} → ${variant}`, ...rows.map(([what, told]) => `  ${what.padEnd(12)}${told}`), ''].join('\n')
}

const counts = (of: Readonly<Record<string, number>>) => Object.entries(of).map(([name, count]) => `${name} ${count}`).join(', ')

/** `80-90 %: 3, the same: 40` */
function distribution(similarity: readonly number[]): string {
  const last = similarity.length - 1
  return similarity.flatMap((count, bin) => {
    if (count === 0) return []
    return bin === last ? `the same: ${count}` : `${bin * 10}-${(bin + 1) * 10} %: ${count}`
  }).join(', ')
}
