import { removeHeaders, type FlatHeaders } from '../pipeline/headers.ts'

/** Asks for an answer that can be read here: a part of a body says too little, and a packed one would have to be unpacked. */
export function askWhole(headers: FlatHeaders): void {
  removeHeaders(headers, (name) => name === 'range' || name === 'if-range')
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === 'accept-encoding') headers[i + 1] = 'identity'
}
