/** An instruction as a user's text, for wires that know no instructions where it stands: marked as the operator's. */
export function markedAsSystem(text: string): string {
  return `<system>\n${text}\n</system>`;
}
