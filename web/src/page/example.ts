import "../corridor"
import "./page.css"
import type { CorridorChat } from "../CorridorChat"

// Your application asks its own server here, which knows who is signed in.
async function token() {
  const response = await fetch("/demo/token", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email: "ann.lee@lakeside.example" }),
  })
  const { token } = (await response.json()) as { token: string }
  return token
}

const chat = document.querySelector<CorridorChat>("corridor-chat")
if (chat) chat.token = token
