/**
 * The model of the tour: how likely a card payment is fraud, from its amount. Two versions that disagree, so that an
 * answer shows who gave it: an amount of 120 scores 0.12 with version 1 and 0.4512 with version 2.
 */

export type Version = '1' | '2'

/** A tensor of the Open Inference Protocol (V2), as JSON. */
export type Tensor = Readonly<{ name: string; datatype: string; shape: readonly number[]; data: readonly number[] }>

export const MODEL = 'fraud'
export const INPUT = { name: 'amount', datatype: 'FP32', shape: [-1] } as const
export const OUTPUT = { name: 'score', datatype: 'FP32', shape: [-1] } as const

const formulas: Record<Version, (amount: number) => number> = {
  '1': (amount) => Math.min(amount / 1000, 1),
  '2': (amount) => 1 - Math.exp(-amount / 200),
}

/** One score between 0 and 1 for each amount, to four decimals. */
export function infer(version: Version, input: Tensor): Tensor {
  const score = (amount: number) => Math.round(formulas[version](Math.max(amount, 0)) * 1e4) / 1e4
  return { name: OUTPUT.name, datatype: OUTPUT.datatype, shape: input.shape, data: input.data.map(score) }
}

/** The one input that the model takes, or what is wrong with the request, in words for whoever sent it. */
export function parseRequest(body: string): { id: string | undefined; input: Tensor } | { error: string } {
  let request: unknown
  try {
    request = JSON.parse(body)
  } catch (cause) {
    return { error: `the request is not JSON: ${cause instanceof Error ? cause.message : String(cause)}` }
  }
  if (!isRecord(request) || !Array.isArray(request['inputs'])) return { error: "the request has no list 'inputs'" }
  const id = request['id']
  if (id !== undefined && typeof id !== 'string') return { error: "'id' is not a string" }

  const inputs: unknown[] = request['inputs']
  const names = inputs.map((input) => (isRecord(input) ? String(input['name']) : '(no object)'))
  const input = inputs[0]
  if (inputs.length !== 1 || names[0] !== INPUT.name || !isRecord(input)) {
    return { error: `model '${MODEL}' takes one input, '${INPUT.name}', and got [${names.join(', ')}]` }
  }
  const { datatype, shape, data } = input
  if (datatype !== INPUT.datatype) {
    return { error: `input '${INPUT.name}' has datatype ${JSON.stringify(datatype)}, the model takes ${INPUT.datatype}` }
  }
  if (!isNumbers(shape) || !shape.every((n) => Number.isInteger(n) && n >= 0) || shape.length !== 1) {
    return { error: `input '${INPUT.name}' needs a shape of one dimension, such as [2]` }
  }
  if (!isNumbers(data)) return { error: `'data' of input '${INPUT.name}' is not a list of numbers` }
  if (data.length !== shape[0]) {
    return { error: `input '${INPUT.name}' has shape [${shape[0]}] and ${data.length} values in 'data'` }
  }
  return { id, input: { name: INPUT.name, datatype: INPUT.datatype, shape, data } }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => typeof n === 'number')
}
