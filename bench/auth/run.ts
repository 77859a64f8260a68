import { createPublicKey, KeyObject, verify } from 'node:crypto'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import jsonwebtoken from 'jsonwebtoken'
import { base64url, signer, token } from '../../test/tokens/sign.ts'
import { cpuOf, endAll, otherCore, outputOf, proxyCore, said, start } from '../processes.ts'
import { median } from '../report.ts'
import { startRig, usualBody } from '../rig.ts'
import { pipelined } from './pipelined.ts'

/**
 * `npm run bench:auth [-- --rounds N] [--seconds N]`: what authentication costs. One proxy alone on one core, with rules
 * that do not ask who calls and one for each way of finding out; the rounds of all take turns, and each is compared with
 * the round beside it.
 */
const argument = (name: string, otherwise: number) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? otherwise : Number(process.argv[at + 1])
}
const [rounds, seconds] = [argument('rounds', 8), argument('seconds', 3)]
const issuer = signer('RS256', 'one')
const claims = (n: number) => ({ iss: 'bench', aud: 'bench', sub: `user-${n}`, groups: ['research'], tier: 'pro', exp: Math.floor(Date.now() / 1000) + 3600 })
const get = (path: string, headers: string) => `GET /${path}/v2/models/fraud/ready HTTP/1.1\r\nHost: bench.example.com\r\n${headers}\r\n`

try {
  await outputOf(otherCore, ['taskset', '-cp', String(otherCore), String(process.pid)])
  const rig = await startRig()
  const proxy = start(proxyCore, [process.execPath, join(import.meta.dirname, 'proxy.ts'), String(rig.ports[0]), JSON.stringify({ keys: [issuer.jwk] })])
  const { port } = await said<{ port: number }>(proxy) ?? { port: 0 }
  const ask = async () => {
    proxy.child.stdin?.write('\n')
    return await said<{ lagP99: number; lagMax: number; fetches: number }>(proxy) ?? { lagP99: 0, lagMax: 0, fetches: 0 }
  }
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node ${process.version}\n`)

  // The same bytes for all: what is compared is what is done with them.
  const headers = { authorization: `Bearer ${token(issuer, claims(0))}`, 'x-api-key': 'bench-key' }
  const probe = async (path: string, ms: number) => {
    const before = await cpuOf(proxy.pid)
    const result = await rig.run({ kind: 'closed', port, path: `/${path}/v2/models/fraud/infer`, headers, body: usualBody, connections: 32, ms })
    if (result.wrong > 0) throw new Error(`${path}: ${result.wrong} wrong answers`)
    return { rate: (result.done * 1000) / result.ms, cpu: (await cpuOf(proxy.pid) - before) / result.done }
  }
  const names = ['open', 'audited', 'token', 'key'] as const
  for (const name of names) await probe(name, 3000)
  const probes = new Map<string, Awaited<ReturnType<typeof probe>>[]>()
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length] ?? ''
      probes.set(name, [...probes.get(name) ?? [], await probe(name, seconds * 1000)])
    }
  }
  const of = (name: string, key: 'rate' | 'cpu') => median(probes.get(name)?.map((one) => one[key]) ?? [])
  /** Each round beside the same round of the other. */
  const beside = (name: string, other: string) => {
    const others = probes.get(other) ?? []
    const [rate, cpu] = (['rate', 'cpu'] as const).map((key) => median((probes.get(name) ?? []).map((one, i) => one[key] / (others[i]?.[key] ?? Number.NaN))))
    return `${((1 - (rate ?? 0)) * 100).toFixed(1)} % of throughput, ${(((cpu ?? 0) - 1) * of(other, 'cpu')).toFixed(1)} µs of CPU a request`
  }
  for (const name of names) console.log(`${name}: ${of(name, 'rate').toFixed(0)} requests/s, ${of(name, 'cpu').toFixed(1)} µs of CPU each`)
  console.log(`\na record of audit: ${beside('audited', 'open')}`)
  console.log(`a cached token, beyond its record: ${beside('token', 'audited')}`)
  console.log(`an API key, beyond its record: ${beside('key', 'audited')}`)

  const tokens = Array.from({ length: 20_000 }, (_, n) => token(issuer, claims(n)))
  const cost = async (path: string, list: readonly string[], rate?: number) => {
    const before = await cpuOf(proxy.pid)
    const outcome = await pipelined(port, list.map((each) => get(path, `Authorization: Bearer ${each}\r\n`)), rate)
    return { ...outcome, cpu: (await cpuOf(proxy.pid) - before) / outcome.done }
  }
  const [warm, fresh] = [tokens.slice(0, 2000), tokens.slice(2000)]
  await cost('open', warm)
  const seen = Array.from(fresh, () => tokens[0] ?? '')
  const [cached, unseen] = [await cost('token', seen), await cost('token', fresh)]
  if (unseen.statuses.get('200') !== fresh.length) throw new Error(JSON.stringify([...unseen.statuses]))
  console.log(`new RS256 token: ${(unseen.cpu - cached.cpu).toFixed(1)} µs of CPU more than a cached one; jsonwebtoken alone: ${alone(fresh, (key, each) => jsonwebtoken.verify(each, key, { algorithms: ['RS256'] })).toFixed(1)}, the signature alone: ${alone(fresh, bare).toFixed(1)}`)

  await ask()
  const [first = ''] = tokens
  const unknown = Array.from({ length: 100_000 }, (_, n) => `${base64url({ alg: 'RS256', kid: `unknown-${n}` })}.${first.split('.').slice(1).join('.')}`)
  const before = (await ask()).fetches
  const spray = await cost('token', unknown, 10_000)
  const { lagP99, lagMax, fetches } = await ask()
  console.log(`unknown key ids: ${(spray.done / spray.ms * 1000).toFixed(0)} requests/s for ${(spray.ms / 1000).toFixed(0)} s, answered ${JSON.stringify(Object.fromEntries(spray.statuses))}; `
    + `${fetches - before} fetches of keys; event loop late by ${lagP99.toFixed(1)} ms at the 99th percentile, ${lagMax.toFixed(1)} ms at most`)
} finally {
  await endAll()
}

/** Microseconds of CPU for one token, without anything around it. */
function alone(list: readonly string[], judge: (key: KeyObject, token: string) => unknown): number {
  if (!(issuer.key instanceof KeyObject)) return Number.NaN
  const key = createPublicKey(issuer.key)
  const before = process.cpuUsage()
  for (const each of list) judge(key, each)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / list.length
}

function bare(key: KeyObject, token: string): boolean {
  const at = token.lastIndexOf('.')
  return verify('sha256', Buffer.from(token.slice(0, at)), key, Buffer.from(token.slice(at + 1), 'base64url'))
}
