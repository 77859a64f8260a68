/** What one observation is known by elsewhere: a trace that shows it in full. `at`: seconds since the epoch. */
export type Exemplar = Readonly<{ trace: string; value: number; at: number }>

/** Counts by bucket, not cumulative: one more than there are bounds, for what is above all of them. */
export type Counted = Readonly<{ counts: ArrayLike<number>; sum: number; exemplars?: readonly (Exemplar | undefined)[] | undefined }>

/** One label set (see `labelText`) and what it has. `suffix`: a line of a histogram that comes as its lines. */
export type Sample = Readonly<{ labels: string; value: number; suffix?: string }>
export type Buckets = Readonly<{ labels: string; counted: Counted }>

type Described = Readonly<{ name: string; help: string; labels: readonly string[] }>

/** How the values of several processes become one. */
export type Combine = 'sum' | 'max' | 'min' | 'average'

/** A metric, and where its samples are read when somebody asks. */
export type Plain = Described & Readonly<{ type: 'counter' | 'gauge' | 'histogram'; combine?: Combine; rows: () => Iterable<Sample> }>
export type Bucketed = Described & Readonly<{ type: 'histogram'; bounds: readonly number[]; buckets: () => Iterable<Buckets> }>
export type Family = Plain | Bucketed

/** `route="ml/fraud",rule="infer"`: what stands between the braces. */
export function labelText(names: readonly string[], values: readonly string[]): string {
  // Joined, not added up: V8 keeps a sum as a tree, and walks through it for every line that it becomes a part of.
  return names.map((name, i) => `${name}="${escaped(values[i] ?? '')}"`).join(',')
}

/** Stands for all that found no room to be told apart. */
export const other = 'other'

const special = /[\\\n"]/

function escaped(value: string): string {
  return special.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"') : value
}

/** A bound as OpenMetrics 1.0 wants it: a float, whatever it is. The same in the text format: `le` tells series apart. */
export const boundText = (bound: number): string => Number.isInteger(bound) ? `${bound}.0` : String(bound)
