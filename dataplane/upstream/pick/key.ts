import type { Balance } from '../../../table/resilience.ts'
import { callerOf } from '../../pipeline/caller.ts'
import { cookieOf } from '../../pipeline/cookies.ts'
import { hash32 } from '../hash.ts'
import type { Asker } from './pick.ts'

/** What is to go to the same endpoint, as a number of 32 bits; undefined: the request has nothing of the kind. */
export type KeyOf = (asker: Asker) => number | undefined

/** The same key in every rule is the same endpoint, so that one whose caches are warm for it is found by all. */
export function keyOf(key: NonNullable<Balance['key']>): KeyOf {
  if ('name' in key) {
    const { by, name } = key
    return by === 'Header' ? (asker) => hashed(asker.header(name)) : (asker) => hashed(cookieOf(asker.header('cookie'), name))
  }
  return key.by === 'PromptPrefix' ? ({ promptKey }) => promptKey : (asker) => hash32(callerOf(asker), 0)
}

function hashed(value: string | undefined): number | undefined {
  return value === undefined || value === '' ? undefined : hash32(value, 0)
}
