// The official OpenAI client for Node against a running gateway. Prints one JSON line a check: {"name", "failure"}.
//
// node suite.mjs BASE_URL KEY CHAT_MODEL EMBEDDING_MODEL

import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey, chat, embedding] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 30_000 });
const messages = [{ role: "user", content: "Hi" }];
const text = "This is a simulated answer. Your message was: Hi";
const tool = (name) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
});

const checks = {
  async chat_answers_whole() {
    const reply = await client.chat.completions.create({ model: chat, messages });
    assert.equal(reply.choices[0].message.content, text);
    assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
    assert.ok(reply._request_id);
  },

  async chat_streams() {
    const stream = await client.chat.completions.create({
      model: chat,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let said = "";
    let last;
    for await (const chunk of stream) {
      said += chunk.choices[0]?.delta?.content ?? "";
      last = chunk;
    }
    assert.equal(said, text);
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.completion_tokens, 9);
  },

  async stream_accumulates_to_a_completion() {
    const stream = client.chat.completions.stream({ model: chat, messages });
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, text);
    assert.equal(final.choices[0].finish_reason, "stop");
  },

  async tools_are_called_whole() {
    const asked = { model: chat, messages: [{ role: "user", content: "weather and tide" }] };
    const reply = await client.chat.completions.create({ ...asked, tools: [tool("weather"), tool("tide")] });
    assert.equal(reply.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(reply.choices[0].message.tool_calls.map(called), expected);
  },

  async tools_are_called_in_a_stream() {
    const asked = { model: chat, messages: [{ role: "user", content: "weather and tide" }] };
    const stream = client.chat.completions.stream({ ...asked, tools: [tool("weather"), tool("tide")] });
    const final = await stream.finalChatCompletion();
    assert.deepEqual(final.choices[0].message.tool_calls.map(called), expected);
  },

  async responses_answer_whole() {
    const reply = await client.responses.create({ model: chat, input: "Hi", instructions: "Be brief." });
    assert.equal(reply.output_text, text);
    assert.equal(reply.status, "completed");
    assert.ok(reply._request_id);
  },

  async responses_stream_to_the_same() {
    const kinds = [];
    const stream = client.responses.stream({ model: chat, input: "Hi" });
    for await (const event of stream) kinds.push(event.type);
    assert.equal((await stream.finalResponse()).output_text, text);
    assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", "response.completed"]);
  },

  async responses_call_tools() {
    const tools = ["weather", "tide"].map((name) => ({ type: "function", strict: false, ...tool(name).function }));
    const stream = client.responses.stream({ model: chat, input: "weather and tide", tools });
    const { output } = await stream.finalResponse();
    assert.deepEqual(output.map((item) => [item.type, item.name, item.arguments]), [
      ["function_call", "weather", '{"city": "simulated"}'],
      ["function_call", "tide", '{"city": "simulated"}'],
    ]);
  },

  async a_response_that_breaks_off_throws() {
    const asked = { model: chat, input: "Hi", stream: true, simulated: { truncate_after: 5 } };
    await assert.rejects(async () => {
      for await (const _ of await client.responses.create(asked));
    }, OpenAI.APIError);
  },

  async embeddings_keep_all_dimensions() {
    const packed = await client.embeddings.create({ model: embedding, input: ["one", "two"] });
    const plain = await client.embeddings.create({ model: embedding, input: ["one", "two"], encoding_format: "float" });
    assert.deepEqual(packed.data.map((one) => one.embedding.length), [384, 384]);
    assert.deepEqual(packed.data.map((one) => one.index), [0, 1]);
    packed.data.forEach((one, at) =>
      one.embedding.forEach((number, of) => assert.ok(Math.abs(number - plain.data[at].embedding[of]) < 1e-6)),
    );
  },

  async embeddings_take_token_arrays() {
    const reply = await client.embeddings.create({ model: embedding, input: [[101, 7592, 102], [101, 102]] });
    assert.deepEqual(reply.data.map((one) => one.embedding.length), [384, 384]);
  },

  async models_are_listed_and_retrieved() {
    const names = [];
    for await (const model of client.models.list()) names.push(model.id);
    assert.ok(names.includes(chat) && names.includes(embedding));
    assert.equal((await client.models.retrieve(chat)).id, chat);
  },

  async a_wrong_key_is_an_authentication_error() {
    const stranger = new OpenAI({ baseURL, apiKey: "nexus_default-abcdefghijkl_nonsense", maxRetries: 0 });
    await refused(stranger.models.list(), OpenAI.AuthenticationError, [401, "authentication_error", "invalid_api_key", null]);
  },

  async an_unknown_model_is_not_found() {
    const call = client.chat.completions.create({ model: "gpt-17", messages });
    await refused(call, OpenAI.NotFoundError, [404, "not_found_error", "model_not_found", "model"]);
  },

  async a_wrong_field_is_named() {
    const call = client.chat.completions.create({ model: chat, messages: [] });
    await refused(call, OpenAI.BadRequestError, [400, "invalid_request_error", "invalid_request", "messages"]);
  },

  async a_lying_provider_is_a_server_error() {
    for (const stream of [false, true]) {
      const call = client.chat.completions.create({ model: chat, messages, stream, simulated: { mode: "html_200" } });
      await refused(call, OpenAI.InternalServerError, [502, "api_error", "upstream_error", null]);
    }
  },

  async a_stream_that_breaks_off_throws() {
    const asked = { model: chat, messages, stream: true, simulated: { truncate_after: 5 } };
    let said = "";
    await assert.rejects(async () => {
      for await (const chunk of await client.chat.completions.create(asked)) said += chunk.choices[0].delta.content ?? "";
    }, OpenAI.APIError);
    assert.ok(text.startsWith(said) && said.length > 0);
  },
};

const expected = [
  ["function", "weather", '{"city": "simulated"}'],
  ["function", "tide", '{"city": "simulated"}'],
];

function called(call) {
  assert.ok(call.id);
  return [call.type, call.function.name, call.function.arguments];
}

async function refused(call, kind, told) {
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof kind, `${error}`);
    assert.ok(error.requestID, "no request id");
    assert.deepEqual([error.status, error.type, error.code, error.param], told);
    return true;
  });
}

for (const [name, check] of Object.entries(checks)) {
  const failure = await check().then(
    () => null,
    (error) => error.stack,
  );
  console.log(JSON.stringify({ name, failure }));
}
