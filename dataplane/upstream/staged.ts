import type { Stage } from '../pipeline/exchange.ts'
import type { AnswerHandler } from './dispatch.ts'

/** @returns who gets the answer first: the last of the stages */
export function staged(to: AnswerHandler, stages: readonly Stage[], refuse: Parameters<Stage>[1]): AnswerHandler {
  let handler = to
  for (const stage of stages) handler = stage(handler, refuse)
  return handler
}
