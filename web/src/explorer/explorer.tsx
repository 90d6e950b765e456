import "graphiql/setup-workers/vite"
import "@graphiql/react/style.css"
import "@graphiql/plugin-doc-explorer/style.css"
import "graphiql/graphiql.css"
import "./explorer.css"
import { createRoot } from "react-dom/client"
import { Page } from "./Page"

// What an editor was about to do when it was closed it gives up, which is no failure.
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Error && event.reason.name === "Canceled") event.preventDefault()
})

const place = document.getElementById("explorer")
if (place) createRoot(place).render(<Page />)
