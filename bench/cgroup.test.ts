import assert from 'node:assert/strict'
import { test } from 'node:test'
import { charged } from './cgroup.ts'

const mib = 1 << 20

test('a pod is judged by what its memory cgroup of version 2 is charged, less the file pages that nobody used lately', () => {
  const stat = [
    `anon ${24 * mib}`, `file ${90 * mib}`, 'kernel 1048576', `inactive_anon ${24 * mib}`, 'active_anon 0', `inactive_file ${88 * mib}`, `active_file ${2 * mib}`,
    'workingset_refault_anon 1', 'workingset_refault_file 12', 'pgmajfault 3', '',
  ].join('\n')
  assert.deepEqual(charged(`${115 * mib}\n`, stat), { usage: 115, workingSet: 27, refaults: 12 })
})

test('of version 1, with the cgroups below it', () => {
  const stat = [
    `cache ${mib}`, `rss ${mib}`, 'workingset_refault_file 1', `inactive_file ${mib}`, `active_file ${mib}`, `hierarchical_memory_limit 9223372036854771712`,
    `total_cache ${90 * mib}`, `total_rss ${24 * mib}`, 'total_workingset_refault_file 12', `total_inactive_file ${88 * mib}`, `total_active_file ${2 * mib}`, '',
  ].join('\n')
  assert.deepEqual(charged(`${115 * mib}\n`, stat), { usage: 115, workingSet: 27, refaults: 12 })
})

test('counts that were taken one after the other make no working set below nothing', () => {
  assert.equal(charged(String(mib), `inactive_file ${2 * mib}\n`).workingSet, 0)
})

test('a kernel that does not count refaults has had none', () => {
  assert.equal(charged(String(mib), 'inactive_file 0\n').refaults, 0)
})
