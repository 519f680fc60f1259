import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import "./styles/base.css";
import "./styles/frame.css";
import "./styles/controls.css";
import "./styles/worklist.css";
import "./styles/ecg.css";
import "./styles/panel.css";
import "./styles/print.css";

const root = document.getElementById("root");
if (!root) throw new Error("the page has no root");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
