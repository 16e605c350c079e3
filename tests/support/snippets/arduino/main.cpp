#include "sketch.ino"

int main() {
  setup();
  for (int turn = 0; turn < 4; turn++) {
    loop();
    delay(5000);
  }
}
