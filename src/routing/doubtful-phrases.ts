/** Where an answer that declines says so. */
const BEGINNING = 160;
/** Enough of an answer to look for doubts in. */
const LOOKED_AT = 4_096;

/** How models decline, in the languages that they are asked in most. */
const DECLINING = [
  /\bas an? (?:AI|artificial|(?:large )?language model)\b/i,
  /\b(?:I'm|I am) (?:sorry|unable|not able|not capable|just an? (?:AI|language model))\b/i,
  /\bI (?:can(?:no|')t|can not|won't|will not|do not have (?:access|the ability)|don't have (?:access|the ability))\b/i,
  /\bals (?:eine? )?(?:KI|Sprachmodell)\b|\bich kann (?:das|dir|Ihnen|dabei|diese\w*|leider)? ?(?:leider )?nicht\b|\b(?:tut mir leid|bedaure)\b/i,
  /\ben tant qu(?:'|e )(?:IA|intelligence|mod[eè]le)|\bje (?:ne peux pas|ne suis pas en mesure|suis d[ée]sol[ée])|\bd[ée]sol[ée],/i,
  /\bcomo (?:IA|modelo|una? (?:IA|inteligencia|modelo))|\blo siento\b|\bno puedo\b|\bdesculpe?\b|\bn[ãa]o (?:posso|consigo)\b/i,
  /\bcome (?:IA|modello|intelligenza)|\bmi dispiace\b|\bnon posso\b|\bals (?:AI|taalmodel)\b|\bhet spijt me\b|\bik kan (?:dat |je )?niet\b/i,
  /как (?:ИИ|искусственный|языковая модель)|к сожалению, я|я не могу|извините/i,
  /作为(?:一个)?(?:AI|人工智能|语言模型)|(?:很)?抱歉|对不起|我(?:无法|不能)|作為(?:一個)?AI|我無法/i,
  /申し訳(?:ありません|ございません)|お(?:答え|手伝い)(?:は)?できません|AIとして|言語モデルとして|죄송(?:합니다|하지만)|(?:답변|도와)드?릴? ?수 없|AI로서|언어 모델로서/i,
  /असमर्थ हूँ|माफ़ कीजिए|मैं (?:यह )?नहीं कर सकत|عذرًا|لا (?:أستطيع|يمكنني)|كنموذج لغ/i,
];

/** How they hedge: what is unsure of the answer, and not of the world. */
const HEDGING = [
  /\b(?:I'm|I am) not (?:\w+ )?(?:sure|certain|confident|familiar)\b/i,
  /\bI (?:don't|do not) (?:really )?know\b/i,
  /\bI (?:might|may|could) be (?:wrong|mistaken)\b/i,
  /\b(?:hard|difficult|impossible) (?:for me )?to (?:say|tell|know|answer)\b/i,
  /\b(?:need|provide|without) (?:more|further|additional) (?:information|context|details)\b/i,
  /\bmy (?:best )?guess\b|\bI(?: would|'d)? guess\b|\bif I (?:recall|remember)\b/i,
  /\bich bin (?:mir )?(?:da )?nicht (?:ganz )?sicher\b|\bich weiß (?:es )?nicht\b|\bschwer zu sagen\b/i,
  /\bje ne (?:le )?sais pas\b|\bje ne suis pas (?:s[ûu]r|certain)|\bdifficile (?:à|de) dire\b/i,
  /\bno estoy (?:del todo )?segur[oa]\b|\bno (?:lo )?sé(?!\p{L})|\bdifícil (?:de )?decir\b|\bnão (?:tenho certeza|sei)\b/iu,
  /\bnon (?:ne )?sono (?:del tutto )?sicur[oa]\b|\bnon (?:lo )?so\b|\bik weet (?:het )?niet (?:zeker)?\b|\bniet zeker\b/i,
  /я не (?:уверен|знаю)|трудно сказать|возможно, я ошибаюсь/i,
  /我不(?:太)?(?:确定|清楚|知道)|我不確定|难以(?:判断|确定)|需要更多(?:的)?信息/,
  /わかりません|分かりません|確信(?:は|が)(?:持て|あり)ません|잘 모르겠|확실하지 않|확신할 수 없/,
  /पता नहीं|यकीन नहीं|لست متأكد|لا أعرف/,
];

/** How an answer speaks of itself: whether it begins by declining, and in how many ways it hedges. */
export function phrasesIn(text: string): { declines: boolean; hedges: number } {
  // Typographic apostrophes are apostrophes.
  const plain = text.slice(0, LOOKED_AT).replaceAll('’', "'");
  const beginning = plain.slice(0, BEGINNING);
  return { declines: DECLINING.some((phrase) => phrase.test(beginning)), hedges: HEDGING.filter((phrase) => phrase.test(plain)).length };
}
