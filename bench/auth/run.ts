import { createPublicKey, KeyObject, verify } from 'node:crypto'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import { base64url, signer, token } from '../../test/tokens/sign.ts'
import { cpuOf, endAll, otherCore, outputOf, proxyCore, said, start } from '../processes.ts'
import { median } from '../report.ts'
import { startRig, usualBody } from '../rig.ts'
import { pipelined } from './pipelined.ts'

/**
 * `npm run bench:auth [-- --rounds N] [--seconds N]`: what authentication costs. One proxy alone on one core, with a rule
 * without authentication and one for each kind of it; the rounds of all take turns, and each is compared with the open
 * rule's round beside it.
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
  const kinds = ['token', 'key']
  for (const kind of ['open', ...kinds]) await probe(kind, 3000)
  for (const kind of kinds) {
    const pairs: { open: Awaited<ReturnType<typeof probe>>; with: Awaited<ReturnType<typeof probe>> }[] = []
    for (let round = 0; round < rounds; round++) {
      const order = round % 2 === 0 ? ['open', kind] : [kind, 'open']
      const found = new Map<string, Awaited<ReturnType<typeof probe>>>()
      for (const path of order) found.set(path, await probe(path, seconds * 1000))
      const [open, those] = [found.get('open'), found.get(kind)]
      if (open && those) pairs.push({ open, with: those })
    }
    const share = median(pairs.map((pair) => 1 - pair.with.rate / pair.open.rate)) * 100
    const more = median(pairs.map((pair) => pair.with.cpu - pair.open.cpu))
    console.log(`cached ${kind}: ${share.toFixed(1)} % of throughput (${median(pairs.map((pair) => pair.open.rate)).toFixed(0)} → ${median(pairs.map((pair) => pair.with.rate)).toFixed(0)} requests/s), ${more.toFixed(2)} µs of CPU a request`)
  }

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
  console.log(`new RS256 token: ${(unseen.cpu - cached.cpu).toFixed(1)} µs of CPU more than a cached one; verifying its signature alone: ${bare(fresh).toFixed(1)} µs`)

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

/** Microseconds for one signature, without anything around it. */
function bare(list: readonly string[]): number {
  if (!(issuer.key instanceof KeyObject)) return Number.NaN
  const key = createPublicKey(issuer.key)
  const started = performance.now()
  for (const each of list) {
    const at = each.lastIndexOf('.')
    verify('sha256', Buffer.from(each.slice(0, at)), key, Buffer.from(each.slice(at + 1), 'base64url'))
  }
  return ((performance.now() - started) * 1000) / list.length
}
