import type { Callee } from '../../table/principal.ts'
import type { Reach } from '../../table/reach.ts'
import type { Problem } from '../sources/snapshot.ts'
import { invalid, quote, unsupported } from './problems.ts'
import type { CompileOptions } from './spec.ts'
import type { Backend } from './targets.ts'

/** An origin outside of the cluster, when the operator admits its host. */
export function compileUrl(text: string, place: string, options: CompileOptions, problems: Problem[]): Backend {
  const refuse = (problem: Problem): Backend => {
    problems.push(problem)
    return { target: { kind: 'unresolved', why: problem.message } }
  }
  const url = URL.canParse(text) ? new URL(text) : null
  if (!url) return refuse(invalid(place, `${quote(text)} is no URL; write one such as https://models.example.com`))
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return refuse(invalid(place, `${quote(url.protocol)} is not followed; use http: or https:`))
  }
  // Never echoed: what stands before the @ is somebody's password.
  if (url.username || url.password) return refuse(invalid(place, 'holds credentials; remove them from the URL'))
  if (/[?#]/.test(text)) return refuse(invalid(place, 'a backend is an origin; remove the query and the fragment'))
  if (url.pathname !== '/') {
    return refuse(
      unsupported(place, `a backend is an origin and the request brings its path; remove ${quote(url.pathname)}`),
    )
  }
  const closed = hostFault(url, options)
  if (closed !== undefined) return refuse(unsupported(place, closed))
  return { target: { kind: 'url', url: url.origin, ...reachOf(url, options) } }
}

/** `refused`: it is an address, and the operator does not admit it. */
type CalleeFault = Readonly<{ why: string; refused: boolean }>

/** An address that the gateway itself calls, or why it may not. */
export function calleeOf(text: string, options: CompileOptions): Callee | CalleeFault {
  const url = URL.canParse(text) ? new URL(text) : null
  if (!url) return { why: `${quote(text)} is no URL; write one such as https://id.example.com`, refused: false }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return { why: `${quote(url.protocol)} is not followed; use http: or https:`, refused: false }
  }
  if (url.username || url.password) return { why: 'holds credentials; remove them from the URL', refused: false }
  const closed = hostFault(url, options)
  return closed === undefined ? { url: url.href, ...reachOf(url, options) } : { why: closed, refused: true }
}

export function calleeProblem(place: string, { why, refused }: CalleeFault): Problem {
  return refused ? unsupported(place, why) : invalid(place, why)
}

function hostFault(url: URL, options: CompileOptions): string | undefined {
  if (hostAllowed(url, options)) return undefined
  const flag = isLoopback(url.hostname)
    ? 'a URL on this machine is for serve and controller -f only'
    : `--allow-url ${url.hostname} admits it`
  return `host ${quote(url.host)} is not allowed; ${flag}`
}

/** An operator who names the very host means the network that it is in, too: a name below a suffix may be anybody's. */
export function reachOf(url: URL, options: CompileOptions): Reach {
  const named = admitted(url, options).some((entry) => !entry.startsWith('*.'))
  return { loopback: options.allowLoopback, ...(named && { private: true }) }
}

/** Exact hosts, `*.suffix` for anything below, each with `:port` or for any port. */
export function hostAllowed(url: URL, options: CompileOptions): boolean {
  return isLoopback(url.hostname) ? options.allowLoopback : admitted(url, options).length > 0
}

function admitted(url: URL, options: CompileOptions): readonly string[] {
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return options.allowUrls.filter((entry) => {
    const [, host = '', entryPort] = /^(.*?)(?::([0-9]+))?$/.exec(entry.toLowerCase()) ?? []
    if (entryPort !== undefined && entryPort !== port) return false
    return host.startsWith('*.') ? url.hostname.endsWith(host.slice(1)) : url.hostname === host
  })
}

/** The URL parser has already brought every spelling of an address (`127.1`, `0x7f000001`) to one. */
function isLoopback(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(hostname) ||
    /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]+\]$/.test(hostname)
  )
}
