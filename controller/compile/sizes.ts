import type { SizeLimits } from '../../table/route.ts'
import type { Problem } from '../sources/snapshot.ts'
import { invalid, quote } from './problems.ts'
import type { SizeLimitsSpec } from './spec.ts'

const units = new Map([['', 1], ['k', 1e3], ['M', 1e6], ['G', 1e9], ['Ki', 2 ** 10], ['Mi', 2 ** 20], ['Gi', 2 ** 30]])

/** Bytes of a Kubernetes quantity as the schema admits it: a whole number, or one with a suffix. Null: it is none. */
export function parseSize(size: number | string): number | null {
  if (typeof size === 'number') return Number.isSafeInteger(size) && size > 0 ? size : null
  const [, digits = '', suffix = ''] = /^([1-9][0-9]{0,14})(k|M|G|Ki|Mi|Gi)?$/.exec(size) ?? []
  const bytes = Number(digits) * (units.get(suffix) ?? 0)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null
}

/** Undefined where the rule limits nothing. */
export function compileSizeLimits(
  spec: SizeLimitsSpec | undefined,
  place: string,
  problems: Problem[],
): SizeLimits | undefined {
  const compiled: { -readonly [name in keyof SizeLimits]: SizeLimits[name] } = {}
  for (const name of ['request', 'response'] as const) {
    const size = spec?.[name]
    if (size === undefined) continue
    const bytes = parseSize(size)
    if (bytes === null) {
      problems.push(invalid(`${place}.${name}`, `${quote(String(size))} is no size; write bytes, or one such as 512Ki, 32Mi or 1G`))
    } else compiled[name] = bytes
  }
  return Object.keys(compiled).length > 0 ? compiled : undefined
}
