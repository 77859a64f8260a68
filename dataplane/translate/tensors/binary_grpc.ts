import { valueOf } from '../../pipeline/headers.ts'
import { frameHead } from '../../protocols/grpc_frames.ts'
import { modelOfV2 } from '../../protocols/v2.ts'
import { rawHead, writeMessage } from '../../tensors/grpc_message.ts'
import { readJson } from '../../tensors/read_json.ts'
import type { Parameter } from '../../tensors/tensor.ts'
import type { Opening } from '../translation.ts'
import { grpcServer, pathOf, typed } from './grpc.ts'
import { answering, renameIn } from './question.ts'
import { Respell } from './respell.ts'
import { headerName, understoodAs } from './v2_rest.ts'

/**
 * Tensors in binary are bytes of both protocols, so that a request whose tensors all are need not be read to be put into
 * the other: only the JSON before them is.
 */

/** JSON that describes tensors; more of it is read whole. Bytes. */
const jsonMax = 65_536

export const openBinary: Opening = {
  length({ method, path, headers }) {
    const said = valueOf(headers, headerName)
    const length = said !== undefined && /^\d{1,5}$/.test(said) ? Number(said) : 0
    return length > 0 && length <= jsonMax && method === 'POST' && modelOfV2(path)?.rest === '/infer' ? length : undefined
  },
  put(asked, json, size) {
    const { name = '', version = '' } = modelOfV2(asked.path) ?? {}
    const read = readJson('inputs', json, size - json.length)
    if ('code' in read) return read
    const understood = understoodAs(read, name, version)
    const question = renameIn(understood.question, asked.model)
    if (question.ask !== 'infer') return undefined
    const { infer } = question
    const sizes: number[] = []
    const tensors = infer.tensors.map((tensor) => {
      const parameters = new Map<string, Parameter>(tensor.parameters)
      const bytes = parameters.get('binary_data_size')
      parameters.delete('binary_data_size')
      if (tensor.data === undefined && typeof bytes === 'bigint') sizes.push(Number(bytes))
      return { ...tensor, parameters }
    })
    if (sizes.length !== tensors.length || tensors.length === 0) return undefined
    const { pieces, length } = writeMessage('inputs', { ...infer, tensors })
    const heads = sizes.map((bytes) => rawHead('inputs', bytes))
    const message = heads.reduce((sum, head) => sum + head.length, length) + size - json.length
    const frame = Buffer.alloc(frameHead)
    frame.writeUInt32BE(message, 1)
    const stretches = sizes.map((bytes, at) => ({ before: heads[at] ?? frame, bytes }))
    const [first] = stretches
    if (first !== undefined) stretches[0] = { before: Buffer.concat([frame, ...pieces, first.before]), bytes: first.bytes }
    return {
      method: 'POST', path: pathOf('infer'), headers: [...typed], edit: () => new Respell(json.length, stretches), length: frameHead + message,
      answer: answering(understood, question, grpcServer, asked),
    }
  },
}
