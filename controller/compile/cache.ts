import type { Cache } from '../../table/cache.ts'
import type { BackendFound } from './backends.ts'
import { parseDuration } from './durations.ts'
import { invalid, quote, warning } from './problems.ts'
import { parseSize } from './sizes.ts'
import { compileSemantic } from './semantic.ts'
import type { CacheSpec } from './spec.ts'
import type { BackendContext } from './targets.ts'

const mebi = 2 ** 20

/** Undefined where nothing is kept. @param known whether the rule asks who calls */
export function compileCache(spec: CacheSpec | undefined, known: boolean, place: string, context: BackendContext, found: BackendFound): Cache | undefined {
  const { problems } = found
  if (spec === undefined) return undefined
  const duration = (name: 'ttl' | 'staleIfError'): number => {
    const text = spec[name]
    if (text === undefined) return 0
    const parsed = parseDuration(text)
    if (parsed === null) problems.push(invalid(`${place}.${name}`, `${quote(text)} is no duration; write one such as 30s, 5m or 1h30m`))
    return parsed ?? 0
  }
  const size = (name: 'maxBytes' | 'maxEntryBytes', otherwise: number): number => {
    const given = spec[name]
    if (given === undefined) return otherwise
    const parsed = parseSize(given)
    if (parsed === null) problems.push(invalid(`${place}.${name}`, `${quote(String(given))} is no size; write bytes, or one such as 512Ki, 64Mi or 1G`))
    return parsed ?? otherwise
  }
  const { scope = 'Principal', vary, billing = 'Full', billingPercent = 100 } = spec
  const [ttl, staleIfError] = [duration('ttl'), duration('staleIfError')]
  const maxBytes = size('maxBytes', 64 * mebi)
  const maxEntryBytes = size('maxEntryBytes', Math.min(mebi, maxBytes))
  if (maxEntryBytes > maxBytes) {
    problems.push(invalid(`${place}.maxEntryBytes`, `is more than maxBytes (${maxBytes}), so an answer of that size is never kept; raise maxBytes or lower this`))
  }
  if (scope === 'Tenant' && !known) {
    problems.push(warning(`${place}.scope`, 'Invalid', 'Tenant shares answers among callers that the rule knows, and without auth it knows nobody: each address has its own; add auth, or write Shared'))
  }
  const semantic = spec.semantic && compileSemantic(spec.semantic, `${place}.semantic`, context, found)
  return {
    ttl: Math.max(1, ttl),
    scope, maxBytes, maxEntryBytes,
    headers: [...new Set((vary?.headers ?? []).map((name) => name.toLowerCase()))].sort(),
    pointers: [...vary?.pointers ?? []].sort(),
    tags: [...spec.tags ?? []].sort(),
    ...(staleIfError > 0 && { staleIfError }),
    ...(spec.nondeterministic === 'Cache' && { nondeterministic: true as const }),
    billed: billing === 'Free' ? 0 : billing === 'Percent' ? billingPercent : 100,
    ...(semantic && { semantic }),
  }
}
