// A classifier for iOS that uses a release of chapter 15. A skeleton: compiled by no test of this project.
//
// Written for Swift 6 and iOS 17. Add the Core ML package of the release to the app's target; Xcode compiles it
// to .mlmodelc. Its input "image" is a float array [1, height, width, 3], RGB, 0 to 255.

import CoreML
import Foundation

/// The names and sizes of the release's metadata.json: a test compares them.
enum Release {
    static let model = "model"
    static let labels = "labels.txt"
    static let height = 32
    static let width = 32
    static let input = "float32"
}

struct Answer {
    let label: String
    let probability: Float
}

final class Classifier {
    private let model: MLModel
    private let labels: [String]

    init() throws {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = .all  // CPU, GPU and Neural Engine: Core ML chooses for each part
        guard
            let file = Bundle.main.url(forResource: Release.model, withExtension: "mlmodelc"),
            let names = Bundle.main.url(forResource: Release.labels, withExtension: nil)
        else { throw CocoaError(.fileNoSuchFile) }
        model = try MLModel(contentsOf: file, configuration: configuration)
        labels = try String(contentsOf: names, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    /// - Parameter pixels: RGB, 0 to 255, row by row; the model scales them itself.
    func classify(pixels: [UInt8]) throws -> Answer? {
        precondition(pixels.count == Release.height * Release.width * 3)
        let shape = [1, Release.height, Release.width, 3].map { NSNumber(value: $0) }
        let image = try MLMultiArray(shape: shape, dataType: .float32)
        for (at, value) in pixels.enumerated() { image[at] = NSNumber(value: value) }
        let answer = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: ["image": image]))
        guard
            let name = answer.featureNames.first,
            let values = answer.featureValue(for: name)?.multiArrayValue
        else { return nil }
        let best = (0..<values.count).max { values[$0].floatValue < values[$1].floatValue }
        return best.map { Answer(label: labels[$0], probability: values[$0].floatValue) }
    }
}
