import type { ModelInfo } from '../tensors/question.ts'

/** Of a request whose caller does not ask how many tokens it took, while we have to know: what is asked for in his place, and kept from him. */
export type Hidden = Readonly<{ inputs: readonly string[]; outputs: ReadonlySet<string> }>

const none: Hidden = { inputs: [], outputs: new Set() }

/**
 * As Triton's backend for vLLM counts tokens: of a model that has inputs by which it is asked to.
 * @param value what the caller says by such a name
 */
export function countingOf(counts: boolean, info: ModelInfo | undefined, value: (name: string) => unknown): Hidden {
  if (!counts || info === undefined) return none
  const outputs = ['num_input_tokens', 'num_output_tokens'].filter((name) => info.inputs.some((input) => input.name === `return_${name}`) && value(`return_${name}`) !== true)
  return { inputs: outputs.map((name) => `return_${name}`), outputs: new Set(outputs) }
}
