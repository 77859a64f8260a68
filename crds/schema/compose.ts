import { choice, int, listMap, obj, required, setOf } from './node.ts'
import { cel, duration, label, requestPath } from './scalar.ts'
import { callee } from './backend.ts'
import { retry } from './resilience.ts'
import type { ObjectNode } from './node.ts'

export function compose(): ObjectNode {
  const step = obj('ComposeStep', 'One call.', {
    name: required(label('Name of the step; its answer is steps.<name> in later expressions.')),
    backendRef: required(callee('The server that is called.')),
    path: requestPath(`Path that is called. Default: the one that backendRef.protocol has for the model, where protocol and
      model are known; else the path of the request.`),
    input: cel(`CEL expression that gives the JSON body of the call, over request, principal and steps. Default: the body of
      the request as it came; with forEach, the item.`),
    dependsOn: setOf(`Steps whose answers must be there first. Steps that the expressions name
      are waited for in any case; steps that wait for none run at once, in parallel.`, label('Name of another step.'), { max: 16 }),
    when: cel(`CEL expression; the step is left out when it is false, or cannot be evaluated. toss("name") is a number from 0 up to 1,
      drawn once a request for each name.`),
    forEach: cel(`CEL expression that gives a list, of at most 1024; the step runs once for each item, which is called item in
      its input, and its answer is the list of the answers.`),
    maxParallel: int('Calls of forEach in progress at once. Default: 8.', 1, 64),
    onError: choice('Fail: the whole request fails. Skip: go on without its answer. Default: Fail.', ['Fail', 'Skip']),
    timeout: duration('How long the call may take. Default: what is left of the request.'),
    retry: retry("When and how often the call is tried again. Default: the rule's retry."),
  })
  return obj('Compose', 'A graph of calls, parallel where it can be, in place of backendRefs.', {
    steps: required(listMap('The calls. Their order does not matter.', ['name'], step, {
      min: 1,
      max: 16,
      rules: [{
        rule: 'self.all(s, !has(s.dependsOn) || s.dependsOn.all(d, d != s.name && self.exists(t, t.name == d)))',
        message: 'dependsOn must name other steps',
      }],
    })),
    output: cel(`CEL expression over steps that gives the answer; it also has mean, vote and weighted for ensembles.
      Default: the answer of the last step of the list that has one, as it is.`),
  })
}
