import { modelOf } from '../protocols/path.ts'
import type { ReadSingle } from './single.ts'
import { readV1 } from './v1.ts'
import { readV2 } from './v2.ts'

/** How a request is read whose answer can be a part of another one's; undefined: it is none that asks for predictions. */
export function formOf(path: string): ReadSingle | undefined {
  const named = modelOf(path)
  if (named?.protocol === 'V2') return named.rest === '/infer' ? readV2 : undefined
  return named?.rest === ':predict' ? readV1 : undefined
}
