import type { IncomingMessage } from 'node:http'
import { strangeHost } from '../../console/guard.ts'
import { fromBrowser, isLocal, notOurPage, plain } from './browser.ts'
import { Tries } from './tries.ts'

/** Who gives a command, as records name them. */
export type Actor = Readonly<{
  /** `jane@example.com` as the cluster knows them; `token`: whoever holds the file's; `local`: a process of this machine. */
  name: string
  /** The address that it came from. */
  from: string
  /** Whether they may do that to a route; undefined: they may do anything. */
  may?: May
  /** Their own token, where it is one of the cluster's. */
  token?: string
}>

/** Undefined: allowed; else why not. */
export type May = (namespace: string, route: string) => Promise<Denied | undefined>
export type Denied = Readonly<{ status: 401 | 403 | 415 | 429 | 503; error: string; retryAfter?: number }>

/** Whom a token stands for. */
export type Identify = (token: string) => Promise<Readonly<{ name: string; may?: May; own?: true }> | Denied>

export type AccessOptions = Readonly<{
  /** `--console-actions`: knows tokens. Without it pages give no commands. */
  identify?: Identify | undefined
  /** Over files a process of this machine needs no token: it could as well edit them. */
  overFiles: boolean
  /** `--console-host`: names under which the port is offered, behind something that encrypts. */
  names: readonly string[]
  now?: () => number
}>

/** Says who gives a command, or why nobody may. */
export type Access = (request: IncomingMessage) => Promise<Actor | Denied>

/** Characters of a token. */
const tokenMax = 16_384

export function createAccess({ identify, overFiles, names, now = () => performance.now() }: AccessOptions): Access {
  const tries = new Tries(now)

  async function known(token: string, from: string, knows: Identify): Promise<Actor | Denied> {
    const seconds = tries.wait(from)
    if (seconds > 0) return { status: 429, error: `too many tries; again in ${seconds} s`, retryAfter: seconds }
    const found = await tries.attempt(from, () => knows(token), (outcome) => 'error' in outcome && outcome.status === 401)
    if ('error' in found) return found
    const { name, may, own } = found
    return { name, from, ...(may && { may }), ...(own && { token }) }
  }

  return async (request) => {
    const from = plain(request.socket.remoteAddress)
    const strange = strangeHost(request.headers.host, names)
    if (strange !== undefined) return { status: 403, error: strange }
    const local = isLocal(request)
    const page = fromBrowser(request)
    if (page) {
      const foreign = notOurPage(request)
      if (foreign !== undefined) return { status: 403, error: foreign }
      if (identify === undefined) return { status: 403, error: 'the console gives no commands here: --console-actions' }
    }
    if (identify === undefined) {
      // As ever: over files whoever reaches the port, which is the machine's unless it was opened. In a cluster that could be any pod.
      return overFiles || local ? { name: local ? 'local' : 'anybody', from } : { status: 403, error: 'commands are not taken from other machines here: annotate the route, or --console-actions' }
    }
    const authorization = request.headers.authorization ?? ''
    const token = /^bearer +(\S+) *$/i.exec(authorization)?.[1] ?? ''
    if (authorization === '' && overFiles && local && !page) return { name: 'local', from }
    if (token === '' || token.length > tokenMax) return { status: 401, error: 'a token is needed: Authorization: Bearer TOKEN' }
    // A token of a cluster is worth more than this port, and must not be read on the way.
    if (!local && names.length === 0) return { status: 403, error: 'a token is not taken over a plain connection from another machine: kubectl port-forward, or something that encrypts in front and --console-host' }
    return known(token, from, identify)
  }
}
