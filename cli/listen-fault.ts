import * as v from 'valibot'
import type { Command } from './commands.ts'
import { flagsOf, keyOf } from './flags.ts'

/** What Node says where it could not listen; a worker binds, where a process by itself listens. */
const ListenError = v.object({ syscall: v.picklist(['listen', 'bind']), code: v.string(), address: v.string(), port: v.number() })

/** What listening failed with, in words that name the flag; undefined where it is something else. */
export function listenFault(error: unknown, command: Command, options: object): string | undefined {
  const failed = v.safeParse(ListenError, error)
  if (!failed.success) return undefined
  const { code, address, port } = failed.output
  const given = new Map(Object.entries(options))
  const flags = flagsOf(command).filter((flag) => flag.type === 'port' && given.get(keyOf(flag)) === port).map(({ name }) => `--${name}`).join(' or ')
  const where = `port ${port} on ${address}`
  switch (code) {
    case 'EADDRINUSE': return `${where} is taken (${code}): stop what listens there, or give another${flags === '' ? '' : ` by ${flags}`}; 0 takes a free one`
    case 'EACCES': return `${where} is not for this user (${code}): give one from 1024 on${flags === '' ? '' : ` by ${flags}`}`
    case 'EADDRNOTAVAIL': return `${address} is no address of this machine (${code})${flags === '' ? '' : `, for ${flags}`}: see --host and --admin-host`
    default: return undefined
  }
}
