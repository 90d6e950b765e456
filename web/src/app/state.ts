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
  /** The person opened it: what they type goes into it. */
  wasOpened: boolean
}

/** What is open. */
export interface Windows {
  /** Chat boxes, the one that was opened last at the end. */
  boxes: readonly Box[]
  /** See All Chats, and which chat is open in it. */
  allChats: { isOpen: boolean; id?: string | undefined }
  isNewChatOpen: boolean
}

export type WindowAct =
  | { type: "opened" | "popped up" | "attended" | "closed"; id: string }
  | { type: "all chats opened" | "all chats closed" | "new chat opened" | "new chat closed" }
  | { type: "back to all chats" }

/** More boxes than this do not fit beside each other, and the oldest gives way. */
const mostBoxes = 3

export function windows(now: Windows, act: WindowAct): Windows {
  switch (act.type) {
    case "opened":
      if (now.allChats.isOpen) return { ...now, isNewChatOpen: false, allChats: { isOpen: true, id: act.id } }
      return {
        ...now,
        isNewChatOpen: false,
        boxes: place(now.boxes, { id: act.id, isAttended: true, wasOpened: true }),
      }
    case "popped up":
      if (now.boxes.some((box) => box.id === act.id)) return now
      return { ...now, boxes: place(now.boxes, { id: act.id, isAttended: false, wasOpened: false }) }
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
      return { ...now, allChats: { isOpen: true, id: now.boxes.findLast((box) => box.isAttended)?.id } }
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

/** A box that pops up does not push one away that somebody works in, as long as there is another. */
function place(boxes: readonly Box[], box: Box): readonly Box[] {
  const others = boxes.filter(({ id }) => id !== box.id)
  if (others.length < mostBoxes) return [...others, box]
  const leaves = others.find((other) => !other.isAttended) ?? others[0]
  return [...others.filter((other) => other !== leaves), box]
}
