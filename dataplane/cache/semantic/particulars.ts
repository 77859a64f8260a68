/**
 * Embeddings put a question beside its negation, its neighbour of another number, and the same words the other way round
 * (bench/semantic has the figures). What they don't see is looked at here: two texts are compared only where these are the same.
 */

/** Words that turn what is asked around, in the languages that are asked in most. What is not here is left to the threshold. */
const telling = new Set((
  // no and not
  'no not never none nobody nothing nor neither without except exclude excludes excluding excluded unless cannot instead rather hardly but '
  + 'nicht kein keine keinen keiner nie niemals ohne außer pas jamais aucun aucune sans sauf ne non nunca ningún ninguna sin não nem sem senza mai nessun niet geen '
  + 'avoid forbid prevent stop ban fail failed fails refuse deny reject unlike '
  // how many
  + 'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty '
  + 'seventy eighty ninety hundred thousand million billion trillion half third quarter once twice double triple dozen first second last next previous '
  + 'all some any only both either every each everything something most least many few more less fewer other others another same everyone someone '
  + 'null eins zwei drei vier fünf sechs sieben acht neun zehn un une deux trois quatre cinq sept huit neuf dix uno dos tres cuatro cinco seis siete ocho nueve diez alle einige nur '
  + 'twenties thirties forties fifties sixties seventies eighties nineties '
  // when
  + 'was were will would had did been ago now today tomorrow yesterday tonight morning afternoon evening night day week weekend month year century before after since until '
  + 'early late earlier later old new former current past future ever already yet still '
  + 'monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays saturdays sundays '
  + 'january february march april may june july august september october november december spring summer autumn fall winter '
  // which of two
  + 'off up down out over under above below left right north south east west top bottom front back inside outside '
  + 'for against from than high low higher lower highest lowest maximum minimum max min increase decrease raise reduce rise fall rose fell gain lose win lose '
  + 'open close start end begin finish enable disable add remove create delete insert buy sell bought sold send receive import export upload download encrypt decrypt '
  + 'login logout push pull read write cheap cheapest expensive best worst better worse good bad large small big little long short longest shortest tall fast slow hot cold warm '
  + 'ascending descending public private internal external legal illegal safe dangerous allowed true false yes '
  + 'advantage advantages disadvantage disadvantages pros cons positive negative beginner expert simple detailed brief '
  // who
  + 'my we us our you your he him his she her they them their who whom whose '
  + 'man woman men women male female boy girl father mother son daughter brother sister husband wife child children adult minor parent '
  // in what
  + 'english german french spanish italian portuguese dutch danish swedish norwegian finnish polish czech slovak russian ukrainian turkish greek arabic hebrew hindi chinese mandarin '
  + 'japanese korean vietnamese thai latin json xml yaml csv html markdown table list poem essay letter story code summary '
).trim().split(/\s+/))

/** Words that say who is asking, or ask politely, and nothing of what is asked. */
const courtesy = /\b(?:please|kindly|(?:can|could|would|will) you|i (?:want|need|would like) to|(?:tell|give|show) me|let me know|thanks|thank you)\b/giu
/** They say little of what is asked, and stand anywhere in a sentence. */
const light = new Set('a an the of in on to with is are be does do i me it its this that these those there at by and or as what which how when where why can could may should have has'.split(' '))

export type Reading = Readonly<{
  /** What must be the same, word for word and in this order: numbers, names, and words that turn what is asked around. */
  particulars: string
  /** The other words, in their order. */
  words: readonly string[]
}>

/** What is compared of a text beside its embedding. */
export function readingOf(text: string): Reading {
  const particulars: string[] = []
  const words: string[] = []
  // Words of one letter and abbreviations with points are read as one; n't is a word of its own.
  const spoken = text.normalize('NFC').replaceAll('’', "'").replaceAll(/(\p{L})n't\b/gu, '$1 not').replaceAll(/\b([Cc]a) not\b/g, '$1n not')
  const plain = spoken.replaceAll(courtesy, (found) => found.replaceAll(/\S/g, ' '))
  let sentence = true
  let counted = false
  for (const [word] of plain.matchAll(/[-+]?\p{N}[\p{N}\p{L}.,:%]*|\p{L}[\p{L}\p{M}\p{N}'.+#-]*|[-+*/=<>^~|&%$€£¥"«»“”]|[.!?]/gu)) {
    if (/^[.!?]$/.test(word)) {
      sentence = true
      continue
    }
    const bare = word.replace(/['.,:-]+$/, '')
    const lower = bare.toLowerCase()
    const first = sentence
    // What follows a number is its unit.
    const unit = counted
    sentence = false
    counted = /\p{N}/u.test(bare)
    if (unit || counted || !/^\p{L}/u.test(bare) || telling.has(lower) || (!first && lower !== bare && lower !== 'i') || /\p{Lu}.*\p{Lu}/u.test(bare) || unspaced.test(bare)) particulars.push(lower)
    else if (!light.has(lower)) words.push(lower)
  }
  return { particulars: particulars.join(' '), words }
}

/** Scripts without spaces between words: what is one word here is a sentence there. */
const unspaced = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

/** What makes a word its opposite, before or after it. */
const turns = /^(?:un|in|im|il|ir|dis|non|de|mis|anti|over|under)-?(?=\p{L}{3})|(?<=\p{L}{3})(?:less|ful)$/gu

/** Whether the words of two texts let them mean the same: those that both have come in one order, and none of the one is the opposite of one of the other. */
export function agree(one: readonly string[], other: readonly string[]): boolean {
  const [ofOne, ofOther] = [new Set(one), new Set(other)]
  const common = one.filter((word) => ofOther.has(word))
  const same = other.filter((word) => ofOne.has(word))
  if (common.length !== same.length || common.some((word, at) => word !== same[at])) return false
  return !turned(one, ofOne, ofOther) && !turned(other, ofOther, ofOne)
}

function turned(words: readonly string[], own: ReadonlySet<string>, others: ReadonlySet<string>): boolean {
  return words.some((word) => {
    if (others.has(word)) return false
    const stem = word.replace(turns, '')
    return stem !== word && others.has(stem) && !own.has(stem)
  })
}
