import { createContext, use } from "react"
import type { Drafts } from "../features/messages/drafts"
import type { Outbox } from "../features/messages/outbox"

/** What all parts of the app share. */
export interface ChatContext {
  outbox: Outbox
  drafts: Drafts
  /** Whether who adds people may choose what they see of the history (E6). */
  historyChoice: boolean
  /** Whom to ask for help (S63). */
  supportContact: string
}

export const ChatContext = createContext<ChatContext | null>(null)

export function useChat(): ChatContext {
  const chat = use(ChatContext)
  if (!chat) throw new Error("useChat needs a ChatContext around it")
  return chat
}

/** An open chat box. */
export interface Box {
  id: string
  /** The person opened it or has turned to it. One that only popped up marks nothing as read. */
  isAttended: boolean
  /** When it was opened last, in the order of what was opened. */
  turn: number
  /** How often the person opened it: each time what they type goes into it. */
  openings: number
}

/** What is open. */
export interface Windows {
  /** Chat boxes, from where they stand: one that is open stays in its place. */
  boxes: readonly Box[]
  /** See All Chats, and which chat is open in it. */
  allChats: { isOpen: boolean; id?: string | undefined }
  isNewChatOpen: boolean
}

export type WindowAct =
  | { type: "opened" | "popped up" | "attended" | "closed"; id: string }
  | { type: "all chats opened" | "all chats closed" | "new chat opened" | "new chat closed" }
  | { type: "back to all chats" }

/** More boxes than this do not fit beside each other. */
const mostBoxes = 3

export function windows(now: Windows, act: WindowAct): Windows {
  switch (act.type) {
    case "opened":
      if (now.allChats.isOpen) return { ...now, isNewChatOpen: false, allChats: { isOpen: true, id: act.id } }
      return {
        ...now,
        isNewChatOpen: false,
        boxes: open(now.boxes, act.id),
      }
    case "popped up":
      return { ...now, boxes: popUp(now.boxes, act.id) }
    case "attended":
      if (now.boxes.every((box) => box.id !== act.id || box.isAttended)) return now
      return { ...now, boxes: now.boxes.map((box) => (box.id === act.id ? { ...box, isAttended: true } : box)) }
    case "closed":
      return {
        ...now,
        boxes: now.boxes.filter((box) => box.id !== act.id),
        allChats: now.allChats.id === act.id ? { ...now.allChats, id: undefined } : now.allChats,
      }
    case "all chats opened":
      return { ...now, allChats: { isOpen: true, id: byRank(now.boxes).find((box) => box.isAttended)?.id } }
    case "all chats closed":
      return { ...now, allChats: { isOpen: false } }
    case "back to all chats":
      return { ...now, allChats: { isOpen: true } }
    case "new chat opened":
      return { ...now, isNewChatOpen: true }
    case "new chat closed":
      return { ...now, isNewChatOpen: false }
  }
}

/** Opens a box, or turns to it if it is open. If there are too many the one gives way that was turned to least. */
function open(boxes: readonly Box[], id: string): readonly Box[] {
  const turn = nextTurn(boxes)
  if (boxes.some((box) => box.id === id)) {
    return boxes.map((box) => (box.id === id ? { ...box, isAttended: true, turn, openings: box.openings + 1 } : box))
  }
  const stay = byRank(boxes).slice(0, mostBoxes - 1)
  return [...boxes.filter((box) => stay.includes(box)), { id, isAttended: true, turn, openings: 1 }]
}

/** Opens a box that nobody asked for: it takes the place of no other that somebody works in. */
function popUp(boxes: readonly Box[], id: string): readonly Box[] {
  if (boxes.some((box) => box.id === id)) return boxes
  const last = byRank(boxes).at(-1)
  if (boxes.length === mostBoxes && last?.isAttended) return boxes
  const stay = boxes.length === mostBoxes ? boxes.filter((box) => box !== last) : boxes
  return [...stay, { id, isAttended: false, turn: nextTurn(boxes), openings: 0 }]
}

const nextTurn = (boxes: readonly Box[]) => Math.max(0, ...boxes.map((box) => box.turn)) + 1

/** The boxes by how much they are wanted: what somebody works in first, and of these what they turned to last. */
export function byRank(boxes: readonly Box[]): Box[] {
  return boxes.toSorted((one, other) => Number(other.isAttended) - Number(one.isAttended) || other.turn - one.turn)
}
