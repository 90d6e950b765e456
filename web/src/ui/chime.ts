/** How close together messages are one burst, in milliseconds: it makes one sound (S26). */
const burst = 2_000

let context: AudioContext | undefined
let last = -Infinity

/**
 * Plays the chat sound, two short tones. Browsers allow it once the person has used the page; until then nothing is heard, and
 * nothing is made up for later.
 */
export function ring() {
  const now = performance.now()
  if (now - last < burst || !navigator.userActivation.hasBeenActive) return
  last = now
  context ??= new AudioContext()
  const { currentTime } = context
  void context.resume()
  for (const [frequency, after] of [
    [880, 0],
    [1175, 0.12],
  ] as const) {
    const tone = context.createOscillator()
    const volume = context.createGain()
    tone.frequency.value = frequency
    volume.gain.setValueAtTime(0.0001, currentTime + after)
    volume.gain.exponentialRampToValueAtTime(0.12, currentTime + after + 0.02)
    volume.gain.exponentialRampToValueAtTime(0.0001, currentTime + after + 0.25)
    tone.connect(volume).connect(context.destination)
    tone.start(currentTime + after)
    tone.stop(currentTime + after + 0.3)
  }
}
