import { escaped } from '../json/pointer.ts'
import type { FlatHeaders } from '../pipeline/headers.ts'

/** What becomes of a request at one step: names of headers and JSON Pointers, never what is there. `body` is `replaced` where it is no JSON. */
export type Changes = Readonly<{
  method?: string
  path?: string
  headers?: Edited
  body?: Edited | 'replaced'
}>
type Edited = Readonly<{ set?: readonly string[]; removed?: readonly string[] }>

/** A request as one step finds it. */
export type Seen = Readonly<{ method: string; path: string; headers: Readonly<FlatHeaders>; body: Buffer | undefined }>

/** Names and pointers that are told; larger bodies are not compared; a name may be as long as a caller likes. */
const toldMax = 50
const bodyMax = 1_048_576
const depthMax = 64
const nameMax = 256

/** Undefined: it stays as it is. */
export function changesOf(before: Seen, after: Seen): Changes | undefined {
  const headers = headersChanged(before.headers, after.headers)
  const body = bodyChanged(before.body, after.body)
  const changes: Changes = {
    ...(before.method !== after.method && { method: after.method }),
    ...(before.path !== after.path && { path: after.path }),
    ...(headers && { headers }),
    ...(body && { body }),
  }
  return Object.keys(changes).length === 0 ? undefined : changes
}

/** The same in words. */
export function describeChanges({ method, path, headers, body }: Changes): string {
  return [
    ...(method === undefined ? [] : [`method ${method}`]),
    ...(path === undefined ? [] : [`path ${path}`]),
    ...edits('header', headers),
    ...(body === 'replaced' ? ['another body'] : edits('body', body)),
  ].join('; ')
}

function edits(what: string, { set = [], removed = [] }: Edited = {}): readonly string[] {
  return [...(set.length > 0 ? [`${what} set: ${set.join(', ')}`] : []), ...(removed.length > 0 ? [`${what} removed: ${removed.join(', ')}`] : [])]
}

/** Undefined: there are none. */
function edited(set: readonly string[], removed: readonly string[]): Edited | undefined {
  if (set.length === 0 && removed.length === 0) return undefined
  const bounded = (names: readonly string[]) => names.slice(0, toldMax).map((name) => name.length > nameMax ? `${name.slice(0, nameMax)}…` : name)
  return { ...(set.length > 0 && { set: bounded(set) }), ...(removed.length > 0 && { removed: bounded(removed) }) }
}

function headersChanged(before: Readonly<FlatHeaders>, after: Readonly<FlatHeaders>): Edited | undefined {
  const [was, is] = [valuesOf(before), valuesOf(after)]
  return edited([...is.keys()].filter((name) => is.get(name) !== was.get(name)), [...was.keys()].filter((name) => !is.has(name)))
}

function valuesOf(headers: Readonly<FlatHeaders>): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (let i = 0; i < headers.length; i += 2) {
    const [name = '', value = ''] = headers.slice(i, i + 2)
    // How long the body is follows from the body.
    if (name !== 'content-length') found.set(name, `${found.get(name) ?? ''}\n${value}`)
  }
  return found
}

function bodyChanged(before: Buffer | undefined, after: Buffer | undefined): Edited | 'replaced' | undefined {
  if (before === after || before === undefined || after === undefined || before.equals(after)) return undefined
  const [was, is] = [parsed(before), parsed(after)]
  if (was === undefined || is === undefined) return 'replaced'
  const set: string[] = []
  const removed: string[] = []
  compare(was.value, is.value, '', depthMax, set, removed)
  return edited(set, removed) ?? 'replaced'
}

function parsed(body: Buffer): Readonly<{ value: unknown }> | undefined {
  if (body.length > bodyMax) return undefined
  try {
    return { value: JSON.parse(body.toString()) as unknown }
  } catch {
    return undefined
  }
}

function compare(was: unknown, is: unknown, at: string, depth: number, set: string[], removed: string[]): void {
  if (set.length > toldMax || removed.length > toldMax || Object.is(was, is)) return
  const [old, now] = [membersOf(was), membersOf(is)]
  if (depth === 0 || old === undefined || now === undefined || Array.isArray(was) !== Array.isArray(is)) {
    set.push(at)
    return
  }
  for (const [name, value] of now) {
    if (!old.has(name)) set.push(`${at}/${escaped(name)}`)
    else compare(old.get(name), value, `${at}/${escaped(name)}`, depth - 1, set, removed)
  }
  for (const name of old.keys()) if (!now.has(name)) removed.push(`${at}/${escaped(name)}`)
}

function membersOf(value: unknown): ReadonlyMap<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? new Map<string, unknown>(Object.entries(value)) : undefined
}
