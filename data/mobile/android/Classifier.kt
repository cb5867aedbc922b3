// A classifier for Android that uses a release of chapter 15. A skeleton: compiled by no test of this project.
//
// Written for Kotlin 2.1, Android API 24 and later, and in build.gradle.kts:
//     implementation("com.google.ai.edge.litert:litert:2.3.0")
//     implementation("com.google.ai.edge.litert:litert-gpu:2.3.0")  // for Accelerator.GPU
// Put the files of the release into src/main/assets/, and keep .tflite uncompressed:
//     androidResources { noCompress += "tflite" }

package org.example.classifier

import android.content.Context
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import java.io.Closeable

/** The names and sizes of the release's metadata.json: a test compares them. */
object Release {
    const val MODEL = "model_float.tflite"
    const val LABELS = "labels.txt"
    const val HEIGHT = 32
    const val WIDTH = 32
    const val INPUT = "float32"
}

data class Answer(val label: String, val probability: Float)

class Classifier(context: Context) : Closeable {
    private val labels = context.assets.open(Release.LABELS).bufferedReader().readLines()

    // The first accelerator that is there and takes the model; CPU last, so that there always is one.
    private val model = sequenceOf(Accelerator.GPU, Accelerator.CPU).firstNotNullOf { accelerator ->
        runCatching {
            CompiledModel.create(context.assets, Release.MODEL, CompiledModel.Options(accelerator))
        }.getOrNull()
    }
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    init {
        check(labels.isNotEmpty()) { "no labels in ${Release.LABELS}" }
    }

    /** RGB, 0 to 255, as floats: the model scales them itself. */
    private fun pixels(picture: Bitmap): FloatArray {
        val small = Bitmap.createScaledBitmap(picture, Release.WIDTH, Release.HEIGHT, true)
        val packed = IntArray(Release.WIDTH * Release.HEIGHT)
        small.getPixels(packed, 0, Release.WIDTH, 0, 0, Release.WIDTH, Release.HEIGHT)
        val values = FloatArray(3 * packed.size)
        packed.forEachIndexed { at, color ->
            values[3 * at] = (color shr 16 and 0xFF).toFloat()
            values[3 * at + 1] = (color shr 8 and 0xFF).toFloat()
            values[3 * at + 2] = (color and 0xFF).toFloat()
        }
        return values
    }

    fun classify(picture: Bitmap): Answer {
        inputs[0].writeFloat(pixels(picture))
        model.run(inputs, outputs)
        val probabilities = outputs[0].readFloat()
        val best = probabilities.indices.maxBy { probabilities[it] }
        return Answer(labels[best], probabilities[best])
    }

    override fun close() {
        inputs.forEach { it.close() }
        outputs.forEach { it.close() }
        model.close()
    }
}
