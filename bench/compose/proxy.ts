import type { ComposeStep } from '../../table/compose.ts'
import { active, match, route, rule, variant } from '../../test/dataplane/table.ts'
import { serveTable } from '../table-proxy.ts'

/** `BACKEND`: a proxy with a rule that forwards, and rules that make their answers out of two calls one after the other, as they are and mapped. */
const [backend = ''] = process.argv.slice(2)
const path = '/v2/models/fraud/infer'
const step = (name: string, more: Partial<ComposeStep> = {}): ComposeStep =>
  ({ name, variant: variant(name, 'ml/s:80'), path, dependsOn: [], maxParallel: 8, onError: 'Fail', ...more })
const mapped = '{"inputs": request.body.inputs, "before": steps.first.status}'
const rules = [
  rule({ name: 'plain', matches: [match('/plain')] }),
  rule({ name: 'bytes', matches: [match('/bytes')], variants: [], compose: { steps: [step('first'), step('second', { dependsOn: ['first'] })] } }),
  rule({
    name: 'mapped', matches: [match('/mapped')], variants: [],
    compose: { steps: [step('first'), step('second', { dependsOn: ['first'], input: mapped })], output: '{"of": steps.second.body, "first": steps.first.status}' },
  }),
]
await serveTable(active('1', [route({ rules })], { 'ml/s:80': [Number(backend)] }))
process.stdin.resume().on('end', () => process.exit())
