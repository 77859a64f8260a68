import * as v from 'valibot'

/** The small types that every part of the table is made of. */

export const list = <T extends v.GenericSchema>(item: T) => v.pipe(v.array(item), v.readonly())
/** Never empty. */
export const text = v.pipe(v.string(), v.minLength(1))
export const names = list(text)
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
export const milliseconds = count
export const amount = count
