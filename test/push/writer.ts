import { openDisk } from '../../dataplane/receive/disk.ts'
import { createStore } from '../../dataplane/store.ts'
import { hashOf, versionOf } from '../../table/version.ts'
import { fleet, route } from './table.ts'

/** Writes one table after another to the file it is given, until it is killed. A line on stdout after the first. */
const disk = await openDisk({ file: process.argv[2] ?? '', gateway: 'default' })
const store = createStore({ activate: () => [], disk })
for (let weight = 1; ; weight++) {
  const table = fleet(Array.from({ length: 300 }, (_, i) => route(`ml/r${i}`, weight)), [])
  for (const resource of ['endpoints', 'routes'] as const) {
    const items = [...table[resource].values()]
    const version = versionOf(new Map(items.map((item) => [item.id, hashOf(item)])))
    store.handle({ type: 'snapshot', schema: 1, resource, version, items })
  }
  await disk.flush()
  if (weight === 1) process.stdout.write('written\n')
}
