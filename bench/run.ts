import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { measure, works } from './measure.ts'
import { modes, startOurs } from './ours.ts'
import { install, peerNames, startPeers, type Missing, type Peer } from './peers.ts'
import { endAll, otherCore, outputOf, proxyCore } from './processes.ts'
import { report } from './report.ts'
import { startRig } from './rig.ts'

/**
 * `npm run bench [-- --only NAME,…] [--work WORK,…] [--rounds N] [--seconds N] [--install] [--node-flags FLAGS] [--against FOLDER] [--sleep]`
 *
 * Every proxy alone on one core, the load and the backend on the other, all over loopback. The rounds of all proxies take
 * turns, so that what the machine does meanwhile hits all of them alike; medians of the rounds are reported.
 */
const argument = (name: string) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? undefined : process.argv[at + 1] ?? ''
}
const names = [...peerNames, ...modes]
const only = (argument('only')?.split(',') ?? names).flatMap((name) => name === 'ours' ? modes : [name])
const work = argument('work')?.split(',') ?? works
for (const word of [...only, ...work]) {
  if (![...names, ...works].some((each) => each === word)) throw new Error(`${word} is none of ${[...names, 'ours', ...works].join(', ')}`)
}

if (process.argv.includes('--install')) await install()
const folder = await mkdtemp(join(tmpdir(), 'modelroute-bench-'))
try {
  if (availableParallelism() < 2) throw new Error('one core for the proxy and one for the rest are needed')
  await outputOf(otherCore, ['taskset', '-cp', String(otherCore), String(process.pid)])
  const rig = await startRig(process.argv.includes('--sleep'))
  const [first = 0] = rig.ports
  const found = await startPeers(first, folder, only)
  const peers = found.filter((each): each is Peer => 'pid' in each)
  const ours = await startOurs(rig.ports, folder, modes.filter((mode) => only.includes(mode)), {
    flags: argument('node-flags')?.split(' ') ?? [],
    against: argument('against'),
  })
  console.log(`${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node ${process.version}; proxies on core ${proxyCore}\n`)
  for (const { name, missing } of found.filter((each): each is Missing => 'missing' in each)) console.log(`not measured: ${name} (${missing})`)
  await measure([...peers, ...ours], rig, {
    work,
    rounds: Number(argument('rounds') ?? 5),
    seconds: Number(argument('seconds') ?? 5),
    say: (part, rows) => console.log(report(part, rows)),
  })
} finally {
  await endAll()
  await rm(folder, { recursive: true, force: true })
}
