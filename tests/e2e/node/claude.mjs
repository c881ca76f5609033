// The official Anthropic client for Node against a running gateway. Prints one JSON line a check: {"name", "failure"}.
//
// node claude.mjs BASE_URL KEY CHAT_MODEL EMBEDDING_MODEL MODEL_THAT_IS_DOWN PRICED_MODEL SPENT_KEY LIMITED_KEY

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const [root, apiKey, model, , down, priced, spent, limited] = process.argv.slice(2);
const baseURL = root.replace(/\/v1$/, ""); // this client adds it
const client = new Anthropic({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const hello = { model, max_tokens: 64, messages: [{ role: "user", content: "Hi" }] };
const text = "This is a simulated answer. Your message was: Hi";
const tools = ["weather", "tide"].map((name) => ({
  name,
  description: "Says something.",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
}));
const calling = { ...hello, messages: [{ role: "user", content: "weather and tide" }], tools };

const checks = {
  async messages_answer_whole() {
    const reply = await client.messages.create(hello);
    assert.deepEqual(reply.content.map((block) => [block.type, block.text]), [["text", text]]);
    assert.deepEqual([reply.type, reply.role, reply.model, reply.stop_reason], ["message", "assistant", model, "end_turn"]);
    assert.deepEqual([reply.usage.input_tokens, reply.usage.output_tokens], [4, 9]);
    assert.ok(reply._request_id);
  },

  async messages_stream_to_the_same() {
    const kinds = [];
    let said = "";
    const stream = client.messages.stream(hello);
    stream.on("streamEvent", (event) => kinds.push(event.type)).on("text", (piece) => (said += piece));
    const final = await stream.finalMessage();
    assert.deepEqual([said, final.content[0].text, final.stop_reason], [text, text, "end_turn"]);
    assert.deepEqual([final.usage.input_tokens, final.usage.output_tokens], [4, 9]);
    assert.deepEqual([kinds[0], kinds.at(-1)], ["message_start", "message_stop"]);
  },

  async raw_events_come_in_their_order() {
    const kinds = [];
    for await (const event of await client.messages.create({ ...hello, stream: true })) kinds.push(event.type);
    assert.deepEqual(kinds.slice(0, 2), ["message_start", "content_block_start"]);
    assert.deepEqual(kinds.slice(-3), ["content_block_stop", "message_delta", "message_stop"]);
  },

  async tools_are_called_whole() {
    const reply = await client.messages.create(calling);
    assert.equal(reply.stop_reason, "tool_use");
    assert.deepEqual(reply.content.map(called), expected);
  },

  async tools_are_called_in_a_stream() {
    const final = await client.messages.stream(calling).finalMessage();
    assert.equal(final.stop_reason, "tool_use");
    assert.deepEqual(final.content.map(called), expected);
  },

  async results_of_tools_go_back() {
    const { content } = await client.messages.create(calling);
    const results = content.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: "mild" }));
    const turns = [{ role: "assistant", content }, { role: "user", content: results }];
    const reply = await client.messages.create({ ...calling, messages: [...calling.messages, ...turns], system: "Be brief." });
    assert.equal(reply.content.at(-1).type, "text");
  },

  async tokens_are_counted() {
    const few = await client.messages.countTokens({ model, messages: hello.messages });
    const many = await client.messages.countTokens({ model, messages: hello.messages, system: "word ".repeat(100) });
    assert.ok(0 < few.input_tokens && few.input_tokens < many.input_tokens);
  },

  async models_are_listed_and_retrieved() {
    const names = [];
    for await (const one of client.models.list()) names.push(one.id);
    assert.ok(names.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
  },

  async a_bearer_token_will_do() {
    const bearer = new Anthropic({ baseURL, apiKey: null, authToken: apiKey, maxRetries: 0 });
    assert.equal((await bearer.messages.create(hello)).content[0].text, text);
  },

  async a_wrong_key_is_an_authentication_error() {
    const stranger = new Anthropic({ baseURL, apiKey: "nexus_default-abcdefghijkl_nonsense", maxRetries: 0 });
    await refused(stranger.messages.create(hello), Anthropic.AuthenticationError, [401, "authentication_error", null]);
  },

  async an_unknown_model_is_not_found() {
    const call = client.messages.create({ ...hello, model: "nobody" });
    await refused(call, Anthropic.NotFoundError, [404, "not_found_error", "model"]);
  },

  async a_wrong_field_is_named() {
    const call = client.messages.create({ ...hello, max_tokens: 0 });
    await refused(call, Anthropic.BadRequestError, [400, "invalid_request_error", "max_tokens"]);
  },

  async a_provider_that_is_down_is_overloaded() {
    for (const stream of [false, true]) {
      const call = client.messages.create({ ...hello, model: down, stream });
      await refused(call, Anthropic.InternalServerError, [503, "overloaded_error", null]);
    }
  },

  async a_spent_budget_is_not_tried_again() {
    const [poor, count] = counting(spent);
    await refused(poor.messages.create({ ...hello, model: priced }), Anthropic.RateLimitError, [429, "billing_error", null]);
    assert.equal(count(), 1);
  },

  async a_limit_is_a_rate_limit_error() {
    const hasty = new Anthropic({ baseURL, apiKey: limited, maxRetries: 0 });
    assert.equal((await hasty.messages.create(hello)).content[0].text, text);
    const error = await refused(hasty.messages.create(hello), Anthropic.RateLimitError, [429, "rate_limit_error", null]);
    assert.ok(Number(error.headers.get("retry-after")) > 0);
  },

  async a_stream_that_breaks_off_throws() {
    let said = "";
    const stream = client.messages.stream({ ...hello, simulated: { truncate_after: 5 } });
    stream.on("text", (piece) => (said += piece));
    await assert.rejects(stream.finalMessage(), Anthropic.APIError);
    assert.ok(text.startsWith(said) && said.length > 0);
  },
};

const expected = ["weather", "tide"].map((name) => ["tool_use", name, { city: "simulated" }]);

function called(block) {
  assert.ok(block.id);
  return [block.type, block.name, block.input];
}

function counting(key) {
  let requests = 0;
  const counted = (...asked) => {
    requests += 1;
    return fetch(...asked);
  };
  return [new Anthropic({ baseURL, apiKey: key, maxRetries: 2, fetch: counted }), () => requests];
}

async function refused(call, kind, told) {
  let thrown;
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.ok(error.requestID, "no request id");
    assert.deepEqual([error.status, error.type, error.error.error.param], told);
    thrown = error;
    return true;
  });
  return thrown;
}

for (const [name, check] of Object.entries(checks)) {
  const failure = await check().then(
    () => null,
    (error) => error.stack,
  );
  console.log(JSON.stringify({ name, failure }));
}
