// The model in TensorFlow Lite Micro, with the operators that it needs and no others.
#include <cstdint>
#include <cstdio>
#include <new>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/micro/micro_time.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "tensorflow/lite/schema/schema_generated.h"

#include "check.h"
#include "model_data.h"
#include "test_data.h"

#if defined(ON_ESP_IDF)
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#elif defined(ON_PICO)
#include "pico/time.h"
#elif defined(ON_STM32)
extern "C" void HAL_Delay(uint32_t milliseconds);
#endif

namespace {

constexpr uint32_t kPauseMs = 5000;  // who opens the serial port late sees the next run

alignas(16) uint8_t arena[ARENA_BYTES];
tflite::MicroInterpreter* interpreter = nullptr;

void Pause() {
#if defined(ON_ESP_IDF)
  vTaskDelay(pdMS_TO_TICKS(kPauseMs));
#elif defined(ON_PICO)
  sleep_ms(kPauseMs);
#elif defined(ON_STM32)
  HAL_Delay(kPauseMs);
#endif
}

const tflite::MicroOpResolver& Operators() {
  // RESOLVER
  return resolver;
}

}  // namespace

extern "C" int model_begin(void) {
  if (interpreter != nullptr) return 0;
  static const tflite::MicroOpResolver& operators = Operators();  // registered once
  // Made anew after a failure: an allocator that has failed says only that it is busy.
  alignas(tflite::MicroInterpreter) static uint8_t place[sizeof(tflite::MicroInterpreter)];
  auto* made = ::new (place)
      tflite::MicroInterpreter(tflite::GetModel(model_data), operators, arena, sizeof(arena));
  if (made->AllocateTensors() != kTfLiteOk) return 1;
  interpreter = made;
  return 0;
}

extern "C" int model_run(void) { return interpreter->Invoke() == kTfLiteOk ? 0 : 1; }

extern "C" uint8_t* model_input(int index, size_t* bytes) {
  TfLiteTensor* tensor = interpreter->input(index);
  if (tensor == nullptr) return nullptr;
  *bytes = tensor->bytes;
  return tensor->data.uint8;
}

extern "C" const uint8_t* model_output(int index, size_t* bytes) {
  TfLiteTensor* tensor = interpreter->output(index);
  if (tensor == nullptr) return nullptr;
  *bytes = tensor->bytes;
  return tensor->data.uint8;
}

extern "C" uint32_t model_arena_bytes_used(void) {
  return static_cast<uint32_t>(interpreter->arena_used_bytes());
}

extern "C" uint32_t model_ticks(void) { return static_cast<uint32_t>(tflite::GetCurrentTimeTicks()); }

extern "C" uint32_t model_ticks_per_second(void) {
  return static_cast<uint32_t>(tflite::ticks_per_second());
}

extern "C" void write_character(char letter) {
  std::putchar(letter);
  if (letter == '\n') std::fflush(stdout);
}

extern "C" void check_forever(void) {
  tflite::InitializeTarget();
  for (;;) {
    check_all();
    Pause();
  }
}

#if defined(ON_ESP_IDF)
extern "C" void app_main(void) { check_forever(); }
#elif !defined(ON_STM32)  // there, the project's own main calls check_forever
int main() { check_forever(); }
#endif
