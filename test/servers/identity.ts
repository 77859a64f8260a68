// Models that give back what they are given, one for each datatype, with an input of each rank: `FP32` has `R1` to `R4`.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../cluster/process.ts'

export const datatypes = ['BOOL', 'INT8', 'INT16', 'INT32', 'INT64', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'FP16', 'BF16', 'FP32', 'FP64', 'BYTES'] as const
const ranks = [1, 2, 3, 4] as const

/** A repository for Triton. */
export function identityModels(): string {
  const folder = temporaryFolder('identity')
  for (const datatype of datatypes) {
    const model = join(folder, datatype)
    mkdirSync(join(model, '1'), { recursive: true })
    copyFileSync(join(import.meta.dirname, 'identity/model.py'), join(model, '1/model.py'))
    const type = `TYPE_${datatype === 'BYTES' ? 'STRING' : datatype}`
    const tensors = (more: string) => ranks.map((rank) => `{name: "R${rank}" data_type: ${type} dims: [${Array(rank).fill(-1).join(', ')}]${more}}`).join(', ')
    writeFileSync(join(model, 'config.pbtxt'), `backend: "python"
max_batch_size: 0
input [${tensors(' optional: true')}]
output [${tensors('')}]
instance_group [{kind: KIND_CPU count: 1}]
`)
  }
  return folder
}
