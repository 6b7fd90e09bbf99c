/**
 * What makes an open request hard or easy: chats, instructions, code. There are no public outcomes to fit these to, so their points are set by
 * hand, in steps that a reader can follow: about three make a request one for the middle tier, six one for the top.
 */
export interface Cue {
  /** As it is told: "it asks for code". */
  readonly words: string;
  readonly points: number;
  /** Found anywhere; where it counts, several different finds count up to `most` times. */
  readonly pattern: RegExp;
  readonly most?: number;
}

/** In English, German, French, Spanish, Portuguese, Italian, Dutch, Polish, Russian, Turkish, Chinese, Japanese, Korean, Hindi and Arabic, where short words tell. */
export const CUES: readonly Cue[] = [
  {
    words: 'it holds code',
    points: 2,
    pattern: /```|[{};]\s{0,8}\n|\b(?:function|class|const|import|def|return|SELECT|public static)\b(?=[^.?!\n]{0,40}[({;:*=])/,
  },
  {
    words: 'it asks for code',
    points: 2,
    pattern:
      /\b(?:python|java(?:script)?|typescript|c\+\+|rust|golang|sql|html|css|bash|regex|kotlin|swift|php|ruby|haskell)\b|\b(?:write|implement|develop|create|build|code)\b[^.?!\n]{0,40}\b(?:function|program|script|class|api|query|parser|algorithm|website|app)\b|\b(?:programm|fonction|función|função|funzione|функци|программ|programa)|函数|代码|编程|程序|関数|コード|プログラム|함수|코드|프로그램/i,
  },
  {
    words: 'it asks to reason',
    points: 1,
    most: 3,
    pattern:
      /\b(?:step[- ]by[- ]step|prove|proof|derive|theorem|analy[sz]e|compare|trade-?offs?|design|architect(?:ure)?|optimi[sz]e|refactor|debug|algorithm|complexity|explain why|reason(?:ing)?|justify|evaluate|deduce|infer|beweise?n?|vergleiche?n?|analysiere?n?|entwirf|begründe|démontre[rz]?|compare[rz]|analyse[rz]|conçois|demuestra|analiza|compara|diseña|demonstre|analise|projete|dimostra|analizza|confronta|progetta|bewijs|vergelijk|udowodnij|porównaj|zaprojektuj|kanıtla|karşılaştır|tasarla)\b|докажи|сравни|проанализируй|спроектируй|объясни почему|证明|推导|比较|分析|设计|优化|証明|比較|設計|最適化|증명|비교|분석|설계|최적화|सिद्ध|तुलना|विश्लेषण|أثبت|قارن|حلل|صمم/gi,
  },
  {
    words: 'its matter is hard',
    points: 1.5,
    most: 3,
    pattern:
      /\b(?:rigorous(?:ly)?|concurren(?:t|cy)|distributed|lock-free|deadlocks?|race conditions?|fault-tolerant|theorem|lemma|by induction|convergen(?:t|ce)|dynamic programming|nebenläufig\w{0,3}|verteilte[ns]?|théorème|concurrente|distribuid[ao]|distribué|teorema|lemme)\b|теорем|индукци|параллельн|распредел[её]нн|定理|归纳法|并发|分布式|帰納法|並行処理|分散システム|정리를|귀납법|동시성|분산|प्रमेय|مبرهنة/gi,
  },
  {
    words: 'it is a matter of mathematics',
    points: 1.5,
    pattern:
      /\d\s?[-+*/^=<>≤≥]\s?[\dx(]|[∑∫√∀∃∈]|\\(?:frac|sum|int|sqrt|begin)\b|\b[a-z]\^\d|\b(?:probability|remainder|inequality|equation|integers?|integral|derivative|matrix|polynomial|modulo|triangle|vertices|irrational|square root|fibonacci|eigenvalues?|gleichung|wahrscheinlichkeit|équation|probabilité|ecuación|probabilidad|equação|equazione|równanie)\b|уравнени|вероятност|интеграл|方程|概率|积分|確率|積分|확률|방정식|समीकरण|معادلة|احتمال/i,
  },
  {
    words: 'it is a puzzle',
    points: 2,
    pattern:
      /\b(?:next to|to the (?:left|right) of|between the|is the (?:father|mother|brother|sister) of|brothers?|sisters?|overtak\w+|facing|does not belong|(?:true|false),? (?:false|true)?,? ?(?:or|and) (?:uncertain|false|true)|what could be the reasons?|riddle|logic puzzle)\b/i,
  },
  {
    words: 'its answer must keep to a form',
    points: 1,
    pattern: /\b(?:json|csv|xml|yaml|markdown table|in the format|one (?:per|line)|line-by-line|named entit\w+|extract)\b/i,
  },
  {
    words: 'it is about a text that is given',
    points: 0.5,
    pattern:
      /\b(?:following|below|given) (?:\w+ ){0,2}(?:passage|text|paragraph|reviews?|article|data|records?|equations?|sentences?|statements?|list)\b|:\s*\n/i,
  },
  {
    words: 'it asks for a text to be made up',
    points: -1,
    pattern:
      /\b(?:story|poem|haiku|joke|limerick|song|lyrics|blog post|email|letter|slogan|headline|travel|pretend|imagine you|act as|embody|persona|speak like|gedicht|geschichte|witz|poème|histoire|blague|poema|cuento|chiste|piada|poesia|barzelletta|wiersz|şiir|şaka)\b|стих|рассказ|анекдот|诗|故事|笑话|詩|俳句|物語|冗談|시를|이야기|농담|कविता|चुटकुला|قصيدة|نكتة/i,
  },
  {
    words: 'it asks for a translation or a summary',
    points: -1,
    pattern:
      /\b(?:translat\w+|summari[sz]\w*|paraphrase|correct (?:any|the) grammar\w*|proofread|übersetze?n?|zusammenfass\w+|tradui[st]\w*|résume\w*|traduc\w+|traduz\w*|resum[ea]\w*|riassum\w+|vertaal|przetłumacz|çevir)\b|переведи|перевод|翻译|总结|翻訳|要約|번역|요약|अनुवाद|ترجم/i,
  },
];

/** A short question of fact, or small talk. */
export const SHORT_CHARACTERS = 60;
export const SHORT_POINTS = -1;
