import type { Cache } from '../../table/cache.ts'
import type { BackendFound } from './backends.ts'
import { compileCallee } from './callee.ts'
import { invalid, quote } from './problems.ts'
import type { CacheSpec } from './spec.ts'
import type { BackendContext } from './targets.ts'

/** Under which the backend of the embedding shows in metrics. */
const embeddingName = 'embedding'

export function compileSemantic(
  { threshold: said = '0.95', text = '/messages', embedding, verifyPercent = 1, maxFalseHitPercent = 1 }: NonNullable<CacheSpec['semantic']>,
  place: string,
  context: BackendContext,
  found: BackendFound,
): NonNullable<Cache['semantic']> {
  const threshold = Number(said)
  // What is less like it than not is like nothing that was asked.
  if (!(threshold >= 0.5 && threshold <= 1)) found.problems.push(invalid(`${place}.threshold`, `${quote(said)} is no similarity that says anything; write one from "0.5" to "1", such as "0.95"`))
  const { model: served, ...callee } = compileCallee(embedding.backendRef, `${place}.embedding.backendRef`, context, found)
  const model = embedding.model ?? served?.name
  if (model === undefined) found.problems.push(invalid(`${place}.embedding.model`, 'says which model makes the vectors; name it'))
  return {
    threshold, text,
    embedding: { name: embeddingName, weight: 1_000_000, priority: 0, ...callee, ...(served && { model: served }) },
    model: model ?? '',
    verify: verifyPercent / 100,
    wrong: maxFalseHitPercent / 100,
  }
}
