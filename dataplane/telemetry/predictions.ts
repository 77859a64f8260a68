import { labelText, type Family, type Sample } from '../../exposition/family.ts'
import type { Predictions } from '../predictions/predictions.ts'
import type { PredictionTally } from '../predictions/tally.ts'

/** What became of the prediction log. */
export function predictionFamilies(predictions: Predictions): Family[] {
  const counts = (label: string, of: (tally: PredictionTally) => ReadonlyMap<string, number>) => function* (): Generator<Sample> {
    for (const tally of predictions.values()) {
      const { route, rule } = tally.labels
      for (const [name, value] of of(tally)) yield { labels: labelText(['route', 'rule', label], [route, rule, name]), value }
    }
  }
  return [
    {
      name: 'modelroute_predictions_total',
      help: 'Requests of the sample of a prediction log. result: logged, dropped (there was no room), or unlogged (the proxy has no log to write to; statistics are made).',
      type: 'counter', labels: ['route', 'rule', 'result'], rows: counts('result', ({ outcomes }) => outcomes),
    },
    {
      name: 'modelroute_prediction_bodies_withheld_total',
      help: 'Bodies that the prediction log should have and has not. why: too_large, encoding (packed in a way that is not known), or not_json (nothing could be blotted out in it).',
      type: 'counter', labels: ['route', 'rule', 'why'], rows: counts('why', ({ withheld }) => withheld),
    },
    {
      name: 'modelroute_prediction_events_total',
      help: 'Events of the prediction log that were handed over. result: delivered, or failed (given up after several tries, or the file could not be written).',
      type: 'counter', labels: ['result'],
      * rows() {
        for (const [result, value] of Object.entries(predictions.sink?.outcomes() ?? {})) yield { labels: labelText(['result'], [result]), value }
      },
    },
    {
      name: 'modelroute_prediction_log_bytes',
      help: 'Bytes of bodies that the prediction log holds at present.',
      type: 'gauge', labels: [], rows: () => [{ labels: '', value: predictions.held }],
    },
  ]
}
