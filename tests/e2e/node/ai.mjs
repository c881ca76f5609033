// The AI SDK against a running gateway: its own clients of OpenAI, of what speaks OpenAI's dialect, and of Anthropic.
// Prints one JSON line a check: {"name", "failure"}.
//
// node ai.mjs BASE_URL KEY CHAT_MODEL EMBEDDING_MODEL

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, jsonSchema, Output, streamText, tool } from "ai";

const [baseURL, apiKey, chat, embedding] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey });
const compatible = createOpenAICompatible({ name: "nexus", baseURL, apiKey });
const anthropic = createAnthropic({ baseURL, apiKey });
const text = "This is a simulated answer. Your message was: Hi";
const schema = jsonSchema({
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
});
const weather = tool({ inputSchema: schema, execute: async ({ city }) => `It rains in ${city}.` });

async function converses(model) {
  const whole = await generateText({ model, prompt: "Hi", maxRetries: 0 });
  assert.equal(whole.text, text);
  assert.ok(whole.usage.outputTokens > 0);
  const stream = streamText({ model, prompt: "Hi", maxRetries: 0, onError: ({ error }) => assert.fail(error) });
  let said = "";
  for await (const piece of stream.textStream) said += piece;
  assert.equal(said, text);
  assert.equal(await stream.finishReason, "stop");
}

async function calls(model) {
  const asked = { model, prompt: "weather", tools: { weather }, maxRetries: 0 };
  const whole = await generateText(asked);
  assert.deepEqual(whole.toolCalls.map((call) => call.toolName), ["weather"]);
  assert.match(whole.toolResults[0].output, /^It rains in /);
  const stream = streamText({ ...asked, onError: ({ error }) => assert.fail(error) });
  assert.deepEqual((await stream.toolCalls).map((call) => call.toolName), ["weather"]);
}

async function structures(model) {
  const { output } = await generateText({ model, prompt: "Hi", output: Output.object({ schema }), maxRetries: 0 });
  assert.equal(typeof output.city, "string");
}

const checks = {
  async openai_default_converses() {
    await converses(openai(chat));
  },

  async openai_default_calls_tools() {
    await calls(openai(chat));
  },

  async openai_default_structures() {
    await structures(openai(chat));
  },

  async openai_chat_converses() {
    await converses(openai.chat(chat));
  },

  async openai_chat_calls_tools() {
    await calls(openai.chat(chat));
  },

  async openai_chat_structures() {
    await structures(openai.chat(chat));
  },

  async compatible_converses() {
    await converses(compatible(chat));
  },

  async compatible_calls_tools() {
    await calls(compatible(chat));
  },

  async anthropic_converses() {
    await converses(anthropic(chat));
  },

  async anthropic_calls_tools() {
    await calls(anthropic(chat));
  },

  async anthropic_structures() {
    await structures(anthropic(chat));
  },

  async openai_embeds() {
    const { embeddings } = await embedMany({ model: openai.embedding(embedding), values: ["one", "two"], maxRetries: 0 });
    assert.deepEqual(embeddings.map((vector) => vector.length), [384, 384]);
  },
};

for (const [name, check] of Object.entries(checks)) {
  const failure = await check().then(
    () => null,
    (error) => String(error.stack ?? error),
  );
  console.log(JSON.stringify({ name, failure }));
}
process.exit(0);
