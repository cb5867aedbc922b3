#include "check.h"

#include <string.h>

#include "bundle_key.h"
#include "test_data.h"

#define BYTES_OF_A_LINE 32

static uint32_t line_sum;

/* CRC-32 as zlib has it, without a table: a chip has little memory, and time enough. */
static uint32_t with_byte(uint32_t sum, uint8_t byte) {
  int bit;
  sum ^= byte;
  for (bit = 0; bit < 8; bit++) sum = (sum >> 1) ^ ((sum & 1u) ? 0xEDB88320u : 0u);
  return sum;
}

static void write_text(const char* text) {
  while (*text) write_character(*text++);
}

static void write_sum(uint32_t sum) {
  int shift;
  for (shift = 28; shift >= 0; shift -= 4) write_character("0123456789abcdef"[(sum >> shift) & 15u]);
}

static void begin_line(void) {
  line_sum = 0xFFFFFFFFu;
  write_text("EL1 ");
}

static void end_line(void) {
  write_text(" *");
  write_sum(~line_sum);
  write_character('\n');
}

static void put(char letter) {
  line_sum = with_byte(line_sum, (uint8_t)letter);
  write_character(letter);
}

static void put_text(const char* text) {
  while (*text) put(*text++);
}

static void put_number(uint32_t number) {
  char digits[10];
  int count = 0;
  do {
    digits[count++] = (char)('0' + number % 10u);
    number /= 10u;
  } while (number);
  while (count) put(digits[--count]);
}

static void put_field(const char* name, uint32_t number) {
  put_text(name);
  put_number(number);
}

static int failed(const char* what) {
  begin_line();
  put_text("fail ");
  put_text(what);
  end_line();
  return 1;
}

static void write_output(int test, int output, const uint8_t* values, size_t bytes) {
  size_t start, place;
  for (start = 0; start < bytes; start += BYTES_OF_A_LINE) {
    begin_line();
    put_field("out ", (uint32_t)test);
    put_field(" ", (uint32_t)output);
    put_field(" ", (uint32_t)start);
    put(' ');
    for (place = start; place < bytes && place < start + BYTES_OF_A_LINE; place++) {
      put("0123456789abcdef"[values[place] >> 4]);
      put("0123456789abcdef"[values[place] & 15u]);
    }
    end_line();
  }
}

int check_all(void) {
  const uint8_t* next_input = test_inputs;
  const uint8_t* next_answer = test_answers;
  uint32_t all_sum = 0xFFFFFFFFu;
  int test, index, wrong = 0;

  begin_line();
  put_text("begin " BUNDLE_KEY);
  put_field(" tests ", TEST_COUNT);
  end_line();
  if (model_begin()) return failed("begin");
  begin_line();
  put_field("chip arena ", model_arena_bytes_used());
  put_field(" of ", ARENA_BYTES);
  put_field(" ticks ", model_ticks_per_second());
  end_line();

  for (test = 0; test < TEST_COUNT; test++) {
    uint32_t started, took;
    int same = 1;
    size_t bytes = 0;
    for (index = 0; index < INPUT_COUNT; index++) {
      uint8_t* input = model_input(index, &bytes);
      if (!input || bytes != test_input_bytes[index]) return failed("input");
      memcpy(input, next_input, bytes);
      next_input += bytes;
    }
    started = model_ticks();
    if (model_run()) return failed("run");
    took = model_ticks() - started;
    for (index = 0; index < OUTPUT_COUNT; index++) {
      const uint8_t* output = model_output(index, &bytes);
      if (!output || bytes != test_output_bytes[index]) return failed("output");
      if (test < TEST_KNOWN) {
        if (memcmp(output, next_answer, bytes)) same = 0;
        next_answer += bytes;
      }
    }
    wrong += !same;
    begin_line();
    put_field("test ", (uint32_t)test);
    put_field(" ticks ", took);
    put_text(test >= TEST_KNOWN ? " same unknown" : same ? " same yes" : " same no");
    end_line();
    for (index = 0; index < OUTPUT_COUNT; index++) {
      const uint8_t* output = model_output(index, &bytes);
      size_t place;
      for (place = 0; place < bytes; place++) all_sum = with_byte(all_sum, output[place]);
      write_output(test, index, output, bytes);
    }
  }
  begin_line();
  put_field("end ", TEST_COUNT);
  put_field(" sum ", ~all_sum);
  end_line();
  return wrong;
}
