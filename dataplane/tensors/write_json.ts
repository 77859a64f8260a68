import type { Failure } from '../pipeline/errors.ts'
import { putParameters } from './parameters.ts'
import type { Side } from './read_json.ts'
import { invalid, shown, widths, type Infer, type Parameter, type Tensor } from './tensor.ts'
import { Text } from './text.ts'
import { eachText } from './texts.ts'
import { putNumbers } from './write_numbers.ts'

/** A message of V2 over REST. `header`: bytes of its JSON, where something comes after that. */
export type Written = Readonly<{ pieces: readonly Buffer[]; header: number | undefined }>

/** @param binary whether the data of that tensor go after the JSON, as they are */
export function writeJson(side: Side, { model, version, id, parameters, tensors, outputs }: Infer, binary: (name: string) => boolean): Written | Failure {
  const text = new Text(256 + tensors.reduce((sum, tensor) => sum + roomOf(tensor, binary(tensor.name)), 0))
  const after: Buffer[] = []
  text.put('{')
  if (side === 'outputs') {
    text.put('"model_name":').json(model).put(',')
    if (version !== '') text.put('"model_version":').json(version).put(',')
  }
  if (id !== '') text.put('"id":').json(id).put(',')
  if (parameters.size > 0) {
    text.put('"parameters":')
    putParameters(text, parameters)
    text.put(',')
  }
  text.put(`"${side}":[`)
  for (const [at, tensor] of tensors.entries()) {
    if (at > 0) text.put(',')
    const raw = tensor.data !== undefined && binary(tensor.name)
    putHead(text, tensor, raw)
    if (raw) after.push(tensor.data)
    else if (tensor.data !== undefined) {
      text.put(',"data":[')
      if (!putData(text, tensor.datatype, tensor.data)) return invalid(`The data of the tensor ${shown(tensor.name)} are not what its datatype ${shown(tensor.datatype)} says.`)
      text.put(']')
    }
    text.put('}')
  }
  text.put(']')
  if (side === 'inputs' && outputs.length > 0) putOutputs(text, outputs)
  text.put('}')
  const json = text.done()
  return { pieces: [json, ...after], header: after.length > 0 ? json.length : undefined }
}

/** Bytes of text for an element, about. */
const roomOf = ({ data, datatype }: Tensor, raw: boolean) => 128 + (data === undefined || raw ? 0 : Math.ceil(data.length / (widths.get(datatype) ?? 1) * (datatype === 'BYTES' ? 1.1 : 6)))

function putHead(text: Text, { name, datatype, shape, parameters, data }: Tensor, raw: boolean): void {
  text.put('{"name":').json(name).put(',"datatype":').json(datatype).put(`,"shape":[${shape.join(',')}]`)
  const more: ReadonlyMap<string, Parameter> = raw ? new Map(parameters).set('binary_data_size', BigInt(data?.length ?? 0)) : parameters
  if (more.size === 0) return
  text.put(',"parameters":')
  putParameters(text, more)
}

function putOutputs(text: Text, outputs: Infer['outputs']): void {
  text.put(',"outputs":[')
  for (const [at, { name, parameters }] of outputs.entries()) {
    text.put(at > 0 ? ',{"name":' : '{"name":').json(name)
    if (parameters.size > 0) {
      text.put(',"parameters":')
      putParameters(text, parameters)
    }
    text.put('}')
  }
  text.put(']')
}

/** The elements, one after the other. False: they are not what the datatype says. */
function putData(text: Text, datatype: string, data: Buffer): boolean {
  const width = widths.get(datatype)
  if (width !== undefined) {
    if (data.length % width !== 0) return false
    putNumbers[datatype]?.(text, data, 0, data.length / width)
    return true
  }
  let first = true
  return datatype === 'BYTES' && eachText(data, (from, to) => {
    if (!first) text.put(',')
    first = false
    text.text(data, from, to)
  })
}
