/** What is said between the gateway and the thread of a plugin. */

/** A request, as a plugin sees it. */
export type View = Readonly<{
  requestId: string
  method: string
  host: string
  path: string
  query: string
  clientAddress: string
  principal: Readonly<{ consumer: string; groups: readonly string[]; tier: string | undefined; scopes: readonly string[] }> | undefined
  model: string | undefined
  variants: readonly string[]
  /** Names and values, one after the other. */
  headers: readonly string[]
}>

/** For whom the filter is built. */
export type Instance = Readonly<{ key: string; route: string; rule: string; config: unknown }>

/** What a plugin changed of headers: each name with its values, none where it is taken out. */
export type HeaderChanges = readonly (readonly [name: string, values: readonly string[]])[]

export type ToThread =
  /** Settings that are in force; each is told once, before it is called. */
  | Readonly<{ type: 'build'; instance: Instance }>
  | Readonly<{ type: 'drop'; key: string }>
  | Readonly<{ type: 'request'; id: number; key: string; view: View; timeout: number }>
  /** What was asked for by `read`; without bytes it cannot be had. */
  | Readonly<{ type: 'body'; id: number; bytes: Uint8Array | undefined }>
  | Readonly<{ type: 'response'; id: number; status: number; headers: readonly string[]; body: Uint8Array | undefined; timeout: number }>
  /** The request is over. */
  | Readonly<{ type: 'end'; id: number }>
  | Readonly<{ type: 'ping'; id: number }>

export type FromThread =
  | Readonly<{ type: 'loaded'; name: string; schema: Readonly<Record<string, unknown>>; timeout: number; onError: 'Fail' | 'Skip' }>
  | Readonly<{ type: 'unusable'; why: string }>
  | Readonly<{ type: 'read'; id: number }>
  | Readonly<{ type: 'requested'; id: number; result: Requested }>
  | Readonly<{ type: 'responded'; id: number; result: Responded }>
  | Readonly<{ type: 'failed'; id: number; why: string }>
  | Readonly<{ type: 'pong'; id: number }>

export type Requested = Readonly<{
  /** As the plugin gave it, unchecked. */
  outcome: unknown
  headers: HeaderChanges
  body: Uint8Array | undefined
  variant: string | undefined
  /** What it wants of the answer. */
  watches: 'nothing' | 'head' | 'body'
}>

export type Responded = Readonly<{ headers: HeaderChanges; body: Uint8Array | undefined }>
