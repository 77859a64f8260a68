import type { BuiltStep, Graph } from './graph.ts'

/** For who asks what would be done: each step, what it waits for, and whether it could be taken at present. */
export function describe({ steps, output }: Graph): string {
  return `${steps.map(told).join('; ')}; the answer: ${output === undefined ? 'that of the last step that has one' : 'made by output'}`
}

function told({ name, dependsOn, when, forEach, variant: { backend } }: BuiltStep): string {
  const notes = [
    ...(dependsOn.length > 0 ? [`after ${dependsOn.join(', ')}`] : []),
    ...(when === undefined ? [] : ['if its condition holds']),
    ...(forEach === undefined ? [] : ['for each item']),
  ]
  return `${name}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}: ${backend === undefined ? 'backend_unresolved' : backend.foresee()?.code ?? 'ready'}`
}
