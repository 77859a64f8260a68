import type { Cors } from '../../table/cors.ts'
import type { Problem } from '../sources/snapshot.ts'
import { parseDuration } from './durations.ts'
import { sorted } from './names.ts'
import { invalid, quote, warning } from './problems.ts'
import type { CorsSpec } from './spec.ts'

const place = 'spec.cors'

/** Which web pages may call, for every rule of a route. */
export function compileCors(spec: CorsSpec, problems: Problem[]): Cors {
  const origins = sorted((spec.allowOrigins ?? []).map((origin) => origin.toLowerCase()))
  const credentials = spec.allowCredentials ?? false
  if (origins.length === 0) problems.push(warning(`${place}.allowOrigins`, 'Invalid', 'no web page may call; name its origin, or leave cors out'))
  if (credentials && origins.includes('*')) {
    problems.push(invalid(`${place}.allowOrigins`, 'credentials need the origins by name, not *'))
  }
  origins.forEach((origin) => {
    const fault = originFault(origin)
    if (fault !== undefined) problems.push(invalid(`${place}.allowOrigins`, `${quote(origin)} ${fault}`))
  })
  const maxAge = spec.maxAge === undefined ? 5000 : parseDuration(spec.maxAge)
  if (maxAge === null) problems.push(invalid(`${place}.maxAge`, `${quote(spec.maxAge ?? '')} is no duration, such as 10m`))
  return {
    origins,
    methods: sorted(spec.allowMethods ?? ['GET', 'HEAD', 'POST']),
    headers: sorted((spec.allowHeaders ?? []).map((name) => name.toLowerCase())),
    expose: sorted((spec.exposeHeaders ?? []).map((name) => name.toLowerCase())),
    credentials,
    maxAge: Math.floor((maxAge ?? 0) / 1000),
  }
}

/** Whether a browser can ever send it: a scheme, a host, a port that is not the scheme's own. */
function originFault(origin: string): string | undefined {
  if (origin === '*') return undefined
  const [, scheme = '', host = '', port] = /^([a-z][a-z0-9+.-]*):\/\/(\[[0-9a-f:.]+\]|[^:]*)(?::([0-9]{1,5}))?$/.exec(origin) ?? []
  if (scheme === '' || host === '') return 'is no origin, such as https://app.example.com'
  if (host.includes('*') && !/^\*\.[^*]+$/.test(host)) return 'has a * elsewhere than at the start of the host'
  if ((scheme === 'https' && port === '443') || (scheme === 'http' && port === '80')) {
    return `is never what a browser sends; leave out :${port}`
  }
  return undefined
}
