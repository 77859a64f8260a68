import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where the last good table is kept; `none` says nowhere. */
export async function snapshotFile({ snapshot, stateDir, gateway }: Readonly<{ snapshot?: string; stateDir?: string; gateway: string }>) {
  if (snapshot === 'none') return { file: undefined, forget: async () => {} }
  if (snapshot !== undefined) return { file: snapshot, forget: async () => {} }
  const folder = stateDir ?? (await mkdtemp(join(tmpdir(), 'modelroute-')))
  const forget = async () => {
    if (stateDir === undefined) await rm(folder, { recursive: true, force: true })
  }
  return { file: join(folder, `table-${gateway}.json`), forget }
}
